-- Reads from the log: what follows a position or a moment, oldest first, or the newest.
--
-- ARGV[7]  'position', 'moment' or 'newest'
-- ARGV[8]  the position's epoch, or the moment in milliseconds
-- ARGV[9]  the position's offset
-- ARGV[10] records at most
-- ARGV[11] bytes at most, but for one record
-- ARGV[12] milliseconds after which an entry counts as gone, though it is still there
--
-- Answers epoch, offset of the head, offset of the start, gap ('': none), and two a record: arrived, event.
-- The records follow the start without a hole, whatever the stream has lost by trimming or otherwise.

local wanted, limit, limit_bytes = ARGV[7], tonumber(ARGV[10]), tonumber(ARGV[11])
local AT_ONCE = 100

local function offset_of(entry)
  return tonumber(string.match(entry[1], '^%d+'))
end

local function arrived_of(entry)
  return tonumber(entry[2][2])
end

local function entry_from(at)
  return redis.call('XRANGE', log, whole(at), '+', 'COUNT', 1)[1]
end

-- The offset of the first entry that arrived at `ms` or later; nil when there is none. Arrivals never
-- decrease, so the stream is halved until it is found.
local function first_since(ms)
  local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  if not first then
    return nil
  end
  local low, high = offset_of(first), offset + 1
  if arrived_of(first) >= ms then
    return low
  end
  while low < high do
    local middle = math.floor((low + high) / 2)
    local entry = entry_from(middle)
    if entry and arrived_of(entry) < ms then
      low = offset_of(entry) + 1
    else
      high = middle
    end
  end
  local found = entry_from(low)
  return found and offset_of(found)
end

local oldest = first_since(now - tonumber(ARGV[12]))
local before_all = oldest and oldest - 1 or offset -- where a reader stands who cannot have what it wanted
local start, gap = before_all, ''

if wanted == 'position' then
  local since = tonumber(ARGV[9])
  if ARGV[8] ~= epoch or since > offset then
    gap = 'unknown_position'
  elseif since < before_all then
    gap = 'expired'
  else
    start = since
  end
elseif wanted == 'moment' then
  local since = tonumber(ARGV[8])
  if since >= arrived then
    start = offset
  elseif since < born then
    gap = 'expired'
  else
    -- The first entry that is wanted must be there, and so must be the one before it, unless it is the first
    -- of all: else something between them may have been wanted.
    local later = first_since(since + 1)
    local before = later and later > 1 and entry_from(later - 1)
    if oldest and later and later >= oldest and (later == 1 or offset_of(before) == later - 1) then
      start = later - 1
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
      'XREVRANGE', log, whole(last - 1), whole(oldest), 'COUNT', math.min(AT_ONCE, limit - #found)
    )
    for _, entry in ipairs(page) do
      bytes = bytes + #entry[2][4]
      if offset_of(entry) ~= last - 1 or (bytes > limit_bytes and #found > 0) then
        page = {}
        break
      end
      last = last - 1
      table.insert(found, entry)
    end
    if #page == 0 or last <= oldest then
      break
    end
  end
  answer[3] = last - 1
  for i = #found, 1, -1 do
    table.insert(answer, found[i][2][2])
    table.insert(answer, found[i][2][4])
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
    bytes = bytes + #entry[2][4]
    if offset_of(entry) ~= next_one or (bytes > limit_bytes and count > 0) then
      return answer
    end
    next_one, count = next_one + 1, count + 1
    table.insert(answer, entry[2][2])
    table.insert(answer, entry[2][4])
  end
  if #page == 0 then
    break
  end
end
return answer
