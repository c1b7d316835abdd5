#!lua flags=allow-oom
-- Says how an instance is: starting, ready, failed, stopped. Only its owner may. What failed stays
-- so when its worker stops: the reason is what people look for.
--
-- KEYS 1 entry  2 instances  3 seen
-- ARGV 1 instance  2 owner  3 state  4 why  5 window of its model, tokens  6 what its backend can do
--      (of both '' = as it was)
-- Returns 1 | 0 (somebody else's by now)
--!include _clock
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[2] then return 0 end
if ARGV[3] == 'stopped' and redis.call('HGET', KEYS[1], 'state') == 'failed' then return 1 end
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'why', ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'window', ARGV[5]) end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'abilities', ARGV[6]) end
redis.call('ZADD', KEYS[3], now_ms(), ARGV[1])
redis.call('PUBLISH', KEYS[2], ARGV[1] .. ' ' .. ARGV[3])
return 1
