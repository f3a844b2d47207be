-- Appends publications to the log: all of them, in one step, but for those whose idempotency key is known.
--
-- KEYS[3]  the last call that this node made of the channel, and its answer
-- KEYS[4]  and on: the idempotency keys of those publications that have one, in their order
-- ARGV[7]  this call's number: rising, and the same when the call is repeated
-- ARGV[8]  seconds to remember the answer to it
-- ARGV[9]  seconds to remember the answer under an idempotency key
-- ARGV[10] events that the log is to hold, and how many milliseconds after the last one it goes
-- ARGV[11]
-- ARGV[12] and on, four a publication: event, '1' when it has a key, digest, clients reached
--
-- Answers a line a publication: '<epoch> <offset> <arrived> <clients reached> <1: deduplicated>', or 'conflict'.

local call, number = KEYS[3], tonumber(ARGV[7])
local last = redis.call('GET', call)
if last then
  local last_number, answer = string.match(last, '^(%d+)\n(.*)$')
  if tonumber(last_number) == number then
    return answer
  end
  -- One that was given up long ago, and lay in a connection's buffer while Redis stood still.
  if tonumber(last_number) > number then
    return redis.error_reply('STALE a later call has been answered')
  end
end

arrived = math.max(arrived, now)
local first = offset + 1
local answers, events = {}, {}
local next_key = 4

for i = 12, #ARGV, 4 do
  local event, keyed, digest, reached = ARGV[i], ARGV[i + 1] == '1', ARGV[i + 2], ARGV[i + 3]
  local found
  if keyed then
    found = redis.call('GET', KEYS[next_key])
  end
  if found then
    local answered = cmsgpack.unpack(found)
    if answered[1] == digest then
      table.insert(answers, answered[2] .. ' 1')
    else
      table.insert(answers, 'conflict')
    end
  else
    offset = offset + 1
    table.insert(events, event)
    local answer = epoch .. ' ' .. whole(offset) .. ' ' .. whole(arrived) .. ' ' .. reached
    if keyed then
      redis.call('SET', KEYS[next_key], cmsgpack.pack({ digest, answer }), 'EX', ARGV[9])
    end
    table.insert(answers, answer .. ' 0')
  end
  if keyed then
    next_key = next_key + 1
  end
end

if #events > 0 then
  -- Counted before anything is added: if the rest should fail, there is a hole, which readers see, and no
  -- offset is given twice.
  redis.call('HSET', where, 'offset', offset, 'arrived', arrived)
  for i, event in ipairs(events) do
    redis.call('XADD', log, 'MAXLEN', '~', ARGV[10], whole(first + i - 1), 't', arrived, 'e', event)
  end
  redis.call('PEXPIRE', log, ARGV[11])
  tell(epoch .. ' ' .. whole(first) .. ' ' .. whole(arrived) .. '\n' .. table.concat(events, '\n'))
elseif renewed then
  tell(epoch .. ' ' .. whole(offset) .. ' ' .. whole(arrived))
end

local answer = table.concat(answers, '\n')
redis.call('SET', call, whole(number) .. '\n' .. answer, 'EX', ARGV[8])
return answer
