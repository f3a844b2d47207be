-- Admits requests of one service, one after the other, by an exact sliding window: each counts when all of its
-- events fit, and not at all otherwise.
--
-- KEYS[1]  the window: a list of what was admitted, oldest first, '<at> <events> <events admitted so far>'
-- ARGV[1]  the limit
-- ARGV[2]  the window in microseconds
-- ARGV[3]  and on: events of each request
--
-- Answers now in microseconds, and three a request: 1 (admitted) or 0, events that would still be admitted,
-- and the microseconds until a refused request would be, or until an admitted one makes that number grow.

local window = KEYS[1]
local limit, length = tonumber(ARGV[1]), tonumber(ARGV[2])

-- Microseconds by which the clock may go back without having been set; then it stands still meanwhile.
local SET_BACK = 1000000

local function written(entry)
  return string.format('%d %d %d', entry.at, entry.events, entry.total)
end

-- True when there was a window to keep. Before anything is counted it shows whether this may be done at all.
local function keep()
  return redis.call('PEXPIRE', window, math.ceil(length / 1000) + 1000) == 1
end

local function entry_at(index)
  local entry = redis.call('LINDEX', window, index)
  if not entry then
    return nil
  end
  local at, events, total = string.match(entry, '^(%d+) (%d+) (%d+)$')
  return { at = tonumber(at), events = tonumber(events), total = tonumber(total) }
end

-- The index of the first entry that passes; all after it do.
local function first_that(passes)
  local low, high = 0, redis.call('LLEN', window)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if passes(entry_at(middle)) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = entry_at(-1)
if last and last.at > now + SET_BACK then
  -- The clock was set back. What is in the window counts as if it had come now: never more is admitted than the
  -- limit, and a window later all is as ever.
  local oldest = entry_at(0)
  local events = last.total - (oldest.total - oldest.events)
  last = { at = now, events = events, total = last.total }
  redis.call('RPUSH', window, written(last))
  redis.call('LTRIM', window, -1, -1)
  keep()
end
now = math.max(now, last and last.at or 0)

local horizon = now - length
local gone = first_that(function(entry) return entry.at > horizon end)
if gone > 0 then
  redis.call('LTRIM', window, gone, -1)
end

local first = entry_at(0)
local total = first and last.total or 0
local base = first and first.total - first.events or 0
local oldest = first and first.at or now
local kept = keep()
local answer = { now }

for i = 3, #ARGV do
  local events = tonumber(ARGV[i])
  local free = limit - (total - base)
  local admitted, wait = 0, length
  if events <= free then
    admitted = 1
    total = total + events
    free = free - events
    redis.call('RPUSH', window, written({ at = now, events = events, total = total }))
    kept = kept or keep()
    wait = oldest - horizon
  elseif events <= limit then
    local enough = first_that(function(entry) return entry.total - base >= events - free end)
    wait = entry_at(enough).at - horizon
  end
  table.insert(answer, admitted)
  table.insert(answer, math.max(free, 0))
  table.insert(answer, wait)
end
return answer
