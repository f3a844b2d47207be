-- What every script of a channel begins with: where its log stands now. Put before the others.
--
-- KEYS[1]  where the log stands: epoch, offset, arrived (the last event) and born (the epoch's start)
-- KEYS[2]  the log: a stream in which an event's offset is its id
-- ARGV[1]  the epoch to take when there is none
-- ARGV[2]  the last event that the node knows, as epoch and offset; '' and 0 when it knows none
-- ARGV[3]
-- ARGV[4]  milliseconds to remember for where the log stands
-- ARGV[5]  PUBLISH, or on a cluster SPUBLISH
-- ARGV[6]  what it publishes to
-- ARGV[7]  and on: the script's own

local where, log = KEYS[1], KEYS[2]
local known_epoch, known_offset = ARGV[2], tonumber(ARGV[3])

-- Rounded up, as a moment that somebody asks for is rounded down.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.ceil(time[2] / 1000)

local stood = redis.call('HMGET', where, 'epoch', 'offset', 'arrived', 'born')
local epoch, offset = stood[1], tonumber(stood[2] or 0)
local arrived, born = tonumber(stood[3] or 0), tonumber(stood[4] or 0)

-- Behind what a node has been given: events are lost that were acknowledged, and their offsets must not be
-- given again. A log whose place in it is unknown has no use either.
local renewed = not epoch or (epoch == known_epoch and offset < known_offset)
if renewed then
  epoch, offset = ARGV[1], 0
  arrived = math.max(arrived, now)
  born = arrived
  redis.call('DEL', log)
  redis.call('HSET', where, 'epoch', epoch, 'offset', offset, 'arrived', arrived, 'born', born)
end
redis.call('PEXPIRE', where, ARGV[4])

local function tell(text)
  redis.call(ARGV[5], ARGV[6], text)
end

local function whole(number)
  return string.format('%d', number)
end
