-- How the scripts find entries of the log, after `channel.lua`.

local function offset_of(entry)
  return tonumber(string.match(entry[1], '^%d+'))
end

local function arrived_of(entry)
  return tonumber(entry[2][2])
end

local function event_of(entry)
  return entry[2][4]
end

local function bytes_before(entry)
  return tonumber(entry[2][6])
end

local function entry_from(at)
  return redis.call('XRANGE', log, whole(at), '+', 'COUNT', 1)[1]
end

-- The first entry that passes; nil when there is none. All entries after one that passes do, so the stream is
-- halved until it is found.
local function first_that(passes)
  local found = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  if not found or passes(found) then
    return found
  end
  local low, high = offset_of(found) + 1, offset + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local entry = entry_from(middle)
    if entry and not passes(entry) then
      low = offset_of(entry) + 1
    else
      high = middle
    end
  end
  return entry_from(low)
end

-- Arrivals never decrease.
local function first_since(ms)
  return first_that(function(entry) return arrived_of(entry) >= ms end)
end
