#!lua flags=allow-oom
-- Makes a worker the one that serves an instance, unless another one does.
--
-- KEYS 1 entry  2 instances  3 seen
-- ARGV 1 instance  2 owner  3 node  4 pid  5 descriptor JSON  6 wake-up template  7 slots
--      8 grace ms: an owner unheard for that long is gone  9 owner known to be gone ('' = none)
-- Returns {'registered'} | {'taken', owner, node, pid, ms since it was heard}
--!include _clock
local now = now_ms()
local e = redis.call('HMGET', KEYS[1], 'owner', 'node', 'pid', 'state')
local seen = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or 0)
local over = e[4] == 'stopped' or e[4] == 'failed'
if e[1] and e[1] ~= ARGV[2] and e[1] ~= ARGV[9] and not over
    and now - seen < tonumber(ARGV[8]) then
  return { 'taken', e[1], e[2], tonumber(e[3]), now - seen }
end
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'node', ARGV[3], 'pid', ARGV[4], 'wakeup', ARGV[6],
  'slots', ARGV[7], 'state', 'starting', 'why', '')
redis.call('HSET', KEYS[2], ARGV[1], ARGV[5])
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('PUBLISH', KEYS[2], ARGV[1] .. ' starting')
return { 'registered' }
