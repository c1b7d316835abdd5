#!lua flags=no-writes
-- The jobs that run on an instance or wait for it, in the order in which they are served within
-- their bands.
--
-- KEYS 1 waiting  2 woken  3 running
-- ARGV 1 number of the first waiting job, from 0  2 how many of them
-- Returns {ids that run, ids whose wake-up is in Celery's lists, waiting ids, how many wait}
return {
  redis.call('ZRANGE', KEYS[3], 0, -1), redis.call('ZRANGE', KEYS[2], 0, -1),
  redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1),
  redis.call('ZCARD', KEYS[1]) + redis.call('ZCARD', KEYS[2]) }
