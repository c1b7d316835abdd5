#!lua flags=no-writes
-- The jobs that run on an instance or wait for it, in the order in which they are served within
-- their bands.
--
-- KEYS 1 waiting  2 woken  3 running  4 delayed, of all instances  5 prefix of jobs
-- ARGV 1 number of the first waiting job, from 0  2 how many of them  3 instance
-- Returns {ids that run, ids whose wake-up is in Celery's lists or that wait before their next
--      attempt, waiting ids, how many wait}
local MOST_DELAYED = 1000
local woken = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, id in ipairs(redis.call('ZRANGE', KEYS[4], 0, MOST_DELAYED - 1)) do
  if redis.pcall('HGET', KEYS[5] .. id, 'instance') == ARGV[3] then woken[#woken + 1] = id end
end
return {
  redis.call('ZRANGE', KEYS[3], 0, -1), woken,
  redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1),
  redis.call('ZCARD', KEYS[1]) + redis.call('ZCARD', KEYS[2]) }
