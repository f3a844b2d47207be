-- Remembers revocations, tells all nodes of them, and answers what this node has not seen yet.
--
-- KEYS[1]  a stream of revocations: 'end' is until when one is remembered, 'text' what it says
-- ARGV[1]  now, in Unix seconds
-- ARGV[2]  the command of pub/sub
-- ARGV[3]  the feed that all nodes listen to
-- ARGV[4]  the last entry that this node has seen; empty when it has seen none
-- ARGV[5]  how many revocations follow: of each its end, and its text
-- ARGV[6]  and on: those, and behind them words that are told to all nodes, and not remembered
--
-- Answers the last entry's id, 1 when what follows is all that there is or 0 when it is what came after ARGV[4],
-- and the texts.

local log, now, seen, count = KEYS[1], tonumber(ARGV[1]), ARGV[4], tonumber(ARGV[5])

local function add(until_when, text)
  return redis.call('XADD', log, '*', 'end', until_when, 'text', text)
end

local function doublings(number)
  local _, exponent = math.frexp(number)
  return exponent
end

if count > 0 then
  -- Until when the latest is remembered, so long the stream is kept.
  local latest = now + math.max(0, math.ceil(redis.call('PTTL', log) / 1000))
  local before = redis.call('XLEN', log)
  -- A stream lets go of its oldest only. So a new one begins when this one gets as long as a power of two, if more
  -- than half of it is over: however many there are, one revocation costs the same on average.
  if doublings(before) ~= doublings(before + count) then
    local entries, kept = redis.call('XRANGE', log, '-', '+'), {}
    for _, entry in ipairs(entries) do
      if tonumber(entry[2][2]) > now then
        kept[#kept + 1] = entry[2]
      end
    end
    if 2 * #kept < #entries then
      redis.call('DEL', log)
      for _, entry in ipairs(kept) do
        add(entry[2], entry[4])
      end
    end
  end
  for place = 6, 5 + 2 * count, 2 do
    add(ARGV[place], ARGV[place + 1])
    latest = math.max(latest, tonumber(ARGV[place]))
  end
  redis.call('PEXPIRE', log, math.max(1, latest - now) * 1000)
  for place = 6, 5 + 2 * count, 2 do
    redis.call(ARGV[2], ARGV[3], ARGV[place + 1])
  end
end
for place = 6 + 2 * count, #ARGV do
  redis.call(ARGV[2], ARGV[3], ARGV[place])
end

local goes_on = seen ~= '' and #redis.call('XRANGE', log, seen, seen) > 0
local found = redis.call('XRANGE', log, goes_on and '(' .. seen or '-', '+')
local answer = { #found > 0 and found[#found][1] or goes_on and seen or '', goes_on and 0 or 1 }
for _, entry in ipairs(found) do
  answer[#answer + 1] = entry[2][4]
end
return answer
