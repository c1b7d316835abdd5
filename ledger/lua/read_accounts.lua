#!lua flags=no-writes
-- The tokens of budget levels.
--
-- KEYS budget levels
-- Returns {{used, held, limit}...}; nil where a field was never written
local accounts = {}
for i = 1, #KEYS do accounts[i] = redis.call('HMGET', KEYS[i], 'used', 'held', 'limit') end
return accounts
