-- What the scripts that write begin with, after `channel.lua`.

-- Begin an epoch. What is left of a log that has lost events, or whose place in it is unknown, has no use.
local function begin()
  epoch, offset, first = ARGV[2], 0, '0'
  arrived = math.max(arrived, now)
  born = arrived
  redis.call('DEL', log)
  redis.call(
    'HSET', where, 'epoch', epoch, 'offset', 0, 'arrived', arrived, 'born', arrived, 'first', first, 'bytes', 0
  )
end

-- Keep what is known of the log. Before anything is written it shows whether this may be done at all.
local function keep()
  redis.call('PEXPIRE', where, ARGV[3])
end

local function tell(text)
  redis.call(ARGV[4], ARGV[5], text)
end

-- Where the log stands: '<epoch> <offset> <arrived>'.
local function stands()
  return epoch .. ' ' .. whole(offset) .. ' ' .. whole(arrived)
end

keep()
if lost then
  begin()
  keep()
  tell(stands()) -- other nodes had events of another epoch, too: they are to look
elseif another and first == '1' then
  redis.call('HSET', where, 'first', '0')
end
