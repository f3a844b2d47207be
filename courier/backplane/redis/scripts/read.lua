-- Reads from the log: what follows a position or a moment, oldest first, or the newest.
--
-- ARGV[6]  'position', 'unborn' (the position of a channel without a log, as of a moment), 'moment' or 'newest'
-- ARGV[7]  the position's epoch, or the moment in milliseconds
-- ARGV[8]  the position's offset
-- ARGV[9]  records at most
-- ARGV[10] bytes at most, but for one record
-- ARGV[11] milliseconds after which an entry counts as gone, though it is still there
--
-- Answers 'behind' when the log has lost events and is to begin a new epoch first; otherwise epoch, offset of the head, offset of the start, gap ('': none), and two a record: arrived, event.
-- The records follow the start without a hole, whatever the stream has lost by trimming or otherwise.
--
-- It writes nothing, and Redis sees to that: who asks for what does not exist leaves nothing.

if lost then
  return { 'behind' }
end
if not epoch then
  epoch, offset, arrived, born = UNBORN, now - 1, now, now
end

local wanted, limit, limit_bytes = ARGV[6], tonumber(ARGV[9]), tonumber(ARGV[10])
local AT_ONCE = 100

-- Where a log stands is remembered for longer, so none can have come and gone within this time.
local WEEK = 7 * 86400000

local oldest = first_since(now - tonumber(ARGV[11]))
local before_all = oldest and offset_of(oldest) - 1 or offset -- where a reader stands who cannot have what it wanted
local start, gap = before_all, ''

if wanted == 'position' then
  local since = tonumber(ARGV[8])
  if ARGV[7] ~= epoch or epoch == UNBORN or since > offset then
    gap = 'unknown_position'
  elseif since < before_all then
    gap = 'expired'
  else
    start = since
  end
elseif wanted == 'unborn' then
  local since = tonumber(ARGV[8])
  if epoch == UNBORN then
    gap = now - since > WEEK and 'unknown_position' or ''
  elseif first ~= '1' or another or born <= since or born - since > WEEK then
    gap = 'unknown_position'
  elseif before_all > 0 then
    gap = 'expired'
  end
elseif wanted == 'moment' then
  local since = tonumber(ARGV[7])
  if since >= arrived then
    start = offset
  elseif since < born then
    gap = 'expired'
  else
    -- The first entry that is wanted must be there, and so must be the one before it, unless it is the first
    -- of all: else something between them may have been wanted.
    local later = first_since(since + 1)
    local place = later and offset_of(later)
    local before = later and place > 1 and entry_from(place - 1)
    if oldest and later and place >= offset_of(oldest) and (place == 1 or offset_of(before) == place - 1) then
      start = place - 1
    else
      gap = 'expired'
    end
  end
end

local answer = { epoch, offset, start, gap }

if wanted == 'newest' then
  local found, bytes, last = {}, 0, offset + 1
  while oldest and #found < limit do
    local page = redis.call(
      'XREVRANGE', log, whole(last - 1), whole(offset_of(oldest)), 'COUNT', math.min(AT_ONCE, limit - #found)
    )
    for _, entry in ipairs(page) do
      bytes = bytes + #event_of(entry)
      if offset_of(entry) ~= last - 1 or (bytes > limit_bytes and #found > 0) then
        page = {}
        break
      end
      last = last - 1
      table.insert(found, entry)
    end
    if #page == 0 or last <= offset_of(oldest) then
      break
    end
  end
  answer[3] = last - 1
  for i = #found, 1, -1 do
    table.insert(answer, arrived_of(found[i]))
    table.insert(answer, event_of(found[i]))
  end
  return answer
end

local next_one, count, bytes = start + 1, 0, 0
while count < limit and next_one <= offset do
  local page = redis.call('XRANGE', log, whole(next_one), '+', 'COUNT', math.min(AT_ONCE, limit - count))
  local first = page[1] and offset_of(page[1]) or offset + 1
  if count == 0 and first ~= next_one then
    -- A hole where the reader wanted to begin.
    start, next_one = first - 1, first
    answer[3], answer[4] = start, gap == '' and 'expired' or gap
  end
  for _, entry in ipairs(page) do
    bytes = bytes + #event_of(entry)
    if offset_of(entry) ~= next_one or (bytes > limit_bytes and count > 0) then
      return answer
    end
    next_one, count = next_one + 1, count + 1
    table.insert(answer, arrived_of(entry))
    table.insert(answer, event_of(entry))
  end
  if #page == 0 then
    break
  end
end
return answer
