#!lua flags=no-writes
-- The tokens of budget levels; _levels.lua says what the fields are.
--
-- KEYS budget levels
-- Returns {used, held, limit, then of month, day and hour: limit, used, at}..., now; nil where a
--      field was never written
--!include _clock
local accounts = {}
for i = 1, #KEYS do
  accounts[i] = redis.call('HMGET', KEYS[i], 'used', 'held', 'limit',
    'limit:month', 'used:month', 'at:month', 'limit:day', 'used:day', 'at:day',
    'limit:hour', 'used:hour', 'at:hour')
end
accounts[#accounts + 1] = now_ms()
return accounts
