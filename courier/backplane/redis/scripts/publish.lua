-- Appends publications to the log: all of them, in one step, but for those whose idempotency key is known.
--
-- KEYS[3]  the last call that this node made of the channel, and its answer
-- KEYS[4]  and on: the idempotency keys of those publications that have one, in their order
-- ARGV[6]  this call's number: rising, and the same when the call is repeated
-- ARGV[7]  seconds to remember the answer to it
-- ARGV[8]  seconds to remember the answer under an idempotency key
-- ARGV[9]  events that the log is to hold; ARGV[10] for how many milliseconds; ARGV[11] their bytes
-- ARGV[12] and on, four a publication: event, '1' when it has a key, digest, clients reached
--
-- Answers a line a publication: '<epoch> <offset> <arrived> <clients reached> <1: deduplicated>', or 'conflict'.
--
-- Redis takes nothing back when a script fails half-way. So what can be taken back is written first, then the
-- events, and what fails until then is taken back. After the events comes nothing that promises anything.

local call, number = KEYS[3], tonumber(ARGV[6])
local history_ms, history_bytes = tonumber(ARGV[10]), tonumber(ARGV[11])

local last = redis.call('GET', call)
if last and last ~= '' then
  local last_number, answer = string.match(last, '^(%d+)\n(.*)$')
  if tonumber(last_number) == number then
    return answer
  end
  -- One that was given up long ago, and lay in a connection's buffer while Redis stood still.
  if tonumber(last_number) > number then
    return redis.error_reply('STALE a later call has been answered')
  end
end

local unborn = not epoch
local before = { offset = offset, arrived = arrived, bytes = tonumber(stood[6] or 0) }
if lost then
  before.bytes = 0
end
if unborn then
  epoch, first = ARGV[2], '1'
end
arrived = math.max(arrived, now)

local bytes = before.bytes
local answers, events, keys = {}, {}, {}
local next_key = 4
for i = 12, #ARGV, 4 do
  local event, keyed, digest, reached = ARGV[i], ARGV[i + 1] == '1', ARGV[i + 2], ARGV[i + 3]
  local found
  if keyed then
    found = keys[KEYS[next_key]] or redis.call('GET', KEYS[next_key])
  end
  if found and found ~= '' then
    local answered = cmsgpack.unpack(found)
    if answered[1] == digest then
      table.insert(answers, answered[2] .. ' 1')
    else
      table.insert(answers, 'conflict')
    end
  else
    offset = offset + 1
    bytes = bytes + #event
    table.insert(events, event)
    local answer = epoch .. ' ' .. whole(offset) .. ' ' .. whole(arrived) .. ' ' .. reached
    if keyed then
      keys[KEYS[next_key]] = cmsgpack.pack({ digest, answer })
    end
    table.insert(answers, answer .. ' 0')
  end
  if keyed then
    next_key = next_key + 1
  end
end
local answer = table.concat(answers, '\n')

if #events == 0 then
  redis.call('SET', call, whole(number) .. '\n' .. answer, 'EX', ARGV[7])
  return answer
end

-- What is too old, or too much, goes in steps of a part in 64: so it is looked for now and then only.
local oldest_ms, oldest_bytes = tonumber(stood[7] or 0), tonumber(stood[8] or 0)
local too_old = arrived - oldest_ms > history_ms * 65 / 64
local too_much = bytes - oldest_bytes > history_bytes
local trimmed = unborn or lost or too_old or too_much
if unborn or lost then
  redis.call('DEL', log)
  oldest_ms, oldest_bytes = arrived, 0
elseif too_old or too_much then
  local oldest = first_that(function(entry)
    return arrived_of(entry) >= arrived - history_ms
      and (not too_much or bytes - bytes_before(entry) <= history_bytes * 63 / 64)
  end)
  oldest_ms = oldest and arrived_of(oldest) or arrived
  oldest_bytes = oldest and bytes_before(oldest) or before.bytes
  redis.call('XTRIM', log, 'MINID', whole(oldest and offset_of(oldest) or before.offset + 1))
end

local function append()
  if unborn then
    redis.call('HSET', where, 'epoch', epoch, 'born', arrived, 'first', first)
  end
  if trimmed then
    redis.call('HSET', where, 'oldest_ms', oldest_ms, 'oldest_bytes', oldest_bytes)
  end
  redis.call('HSET', where, 'offset', offset, 'arrived', arrived, 'bytes', bytes)
  for key, value in pairs(keys) do
    redis.call('SET', key, value, 'EX', ARGV[8])
  end
  redis.call('SET', call, whole(number) .. '\n' .. answer, 'EX', ARGV[7])
  local before_it = before.bytes
  for i, event in ipairs(events) do
    redis.call(
      'XADD', log, 'MAXLEN', '~', ARGV[9], whole(before.offset + i), 't', arrived, 'e', event, 'b', whole(before_it)
    )
    before_it = before_it + #event
  end
end

local done, failure = pcall(append)
if not done then
  if unborn then
    redis.pcall('DEL', where)
  else
    redis.pcall('HSET', where, 'offset', before.offset, 'arrived', before.arrived, 'bytes', before.bytes)
  end
  for key in pairs(keys) do
    redis.pcall('SET', key, '', 'PX', 1)
  end
  redis.pcall('SET', call, last or '', 'PX', last and ARGV[7] * 1000 or 1)
  local why = type(failure) == 'table' and failure.err or failure -- versions of Redis differ
  if string.find(why, 'equal or smaller', 1, true) then
    begin() -- the log is ahead of where it stands, and would never take an event again
  end
  return redis.error_reply(why)
end

redis.call('PEXPIRE', log, ARGV[10])
if unborn then
  keep()
end
tell(epoch .. ' ' .. whole(before.offset + 1) .. ' ' .. whole(arrived) .. '\n' .. table.concat(events, '\n'))
return answer
