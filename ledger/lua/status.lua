#!lua
-- Where a job stands.
--
-- KEYS 1 job  2 entry  3 waiting  4 woken  5 running  6 seen
-- ARGV 1 id  2 instance
-- Returns {flat fields of the job, rank among waiting or -1, woken, running, run_ms, instance's
--      state, ms since it was heard or -1}
--!include _clock
local rank = redis.call('ZRANK', KEYS[3], ARGV[1])
local e = redis.call('HMGET', KEYS[2], 'run_ms', 'state')
local seen = redis.call('ZSCORE', KEYS[6], ARGV[2])
return {
  redis.call('HGETALL', KEYS[1]), rank or -1, redis.call('ZCARD', KEYS[4]),
  redis.call('ZCARD', KEYS[5]), tonumber(e[1] or 0), e[2] or '',
  seen and (now_ms() - seen) or -1 }
