-- What every script of a channel begins with: where its log stands now. It writes nothing.
--
-- KEYS[1]  where the log stands; there is none before the first event:
--          epoch, offset and arrived (the last event's), born (when the epoch began), first ('1': there was no log
--          before it, as far as the nodes have seen), bytes (of all events of the epoch), oldest_ms and
--          oldest_bytes (arrived and bytes before the oldest entry that there was at the last trim)
-- KEYS[2]  the log: a stream in which an event's offset is its id; t (arrived), e (the event) and b (bytes of all
--          events of the epoch before it)
-- ARGV[1]  the furthest that the node has seen of each epoch: '<epoch>-<offset> <epoch>-<offset>'
-- ARGV[2]  the epoch to take when one begins
-- ARGV[3]  milliseconds to remember where the log stands
-- ARGV[4]  PUBLISH, or on a cluster SPUBLISH
-- ARGV[5]  what it publishes to
-- ARGV[6]  and on: the script's own

local UNBORN = '00000000' -- the epoch of a channel without a log; its offset is the last millisecond

local where, log = KEYS[1], KEYS[2]

-- Rounded up, as a moment that somebody asks for is rounded down.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.ceil(time[2] / 1000)

local stood = redis.call(
  'HMGET', where, 'epoch', 'offset', 'arrived', 'born', 'first', 'bytes', 'oldest_ms', 'oldest_bytes'
)
local epoch, offset = stood[1], tonumber(stood[2] or 0)
local arrived, born, first = tonumber(stood[3] or 0), tonumber(stood[4] or 0), stood[5]

-- Lost: the log is behind what a node has seen, or is gone. Events are missing that were acknowledged, and their
-- offsets must not be given again. Another: the node has seen another epoch than this one.
local lost, another = false, false
for known_epoch, known_offset in string.gmatch(ARGV[1], '(%w+)-(%d+)') do
  if known_epoch ~= epoch then
    another = true
  elseif tonumber(known_offset) > offset then
    lost = true
  end
end
lost = lost or (another and not epoch)

local function whole(number)
  return string.format('%d', number)
end
