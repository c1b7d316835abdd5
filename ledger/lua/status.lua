#!lua flags=no-writes
-- Where a job stands.
--
-- KEYS 1 job  2 entry  3 waiting  4 woken  5 running  6 seen
-- ARGV 1 id  2 instance
-- Returns {flat fields of the job, jobs before it, run_ms, instance's state, ms since that was
--      heard or -1}
--!include _clock
local before = redis.call('ZRANK', KEYS[4], ARGV[1])
if not before then
  before = redis.call('ZCARD', KEYS[4]) + (redis.call('ZRANK', KEYS[3], ARGV[1]) or 0)
end
local e = redis.call('HMGET', KEYS[2], 'run_ms', 'state')
local seen = redis.call('ZSCORE', KEYS[6], ARGV[2])
return {
  redis.call('HGETALL', KEYS[1]), before + redis.call('ZCARD', KEYS[5]), tonumber(e[1] or 0),
  e[2] or '', seen and (now_ms() - seen) or -1 }
