#!lua flags=no-writes
-- What a tenant spent; _usage.lua says what the fields are.
--
-- KEYS its hashes of usage, one of each day
-- Returns {flat fields...}
local days = {}
for i = 1, #KEYS do days[i] = redis.call('HGETALL', KEYS[i]) end
return days
