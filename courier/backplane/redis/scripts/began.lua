-- When this Redis began to hold logs, in Unix milliseconds; now, when nobody has asked before.
--
-- KEYS[1]  a key that goes only when all goes

local time = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%d', time[1] * 1000 + math.ceil(time[2] / 1000)), 'NX')
return redis.call('GET', KEYS[1])
