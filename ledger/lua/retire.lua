#!lua flags=allow-oom
-- Forgets an instance that is drained and has nothing to do any more.
--
-- KEYS 1 entry  2 waiting  3 woken  4 running  5 held back  6 fair  7 leaving  8 instances  9 seen
-- ARGV 1 instance
-- Returns 1 | 0: it is not drained, or has jobs
if redis.call('HEXISTS', KEYS[8], ARGV[1]) == 0 then return 1 end
if redis.call('HGET', KEYS[1], 'quiet') ~= 'drained' then return 0 end
for i = 2, 4 do
  if redis.call('ZCARD', KEYS[i]) > 0 then return 0 end
end
redis.call('DEL', KEYS[1], KEYS[5], KEYS[6], KEYS[7])
redis.call('HDEL', KEYS[8], ARGV[1])
redis.call('ZREM', KEYS[9], ARGV[1])
redis.call('PUBLISH', KEYS[8], ARGV[1] .. ' retired')
return 1
