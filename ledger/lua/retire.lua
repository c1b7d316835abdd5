#!lua flags=allow-oom
-- Forgets an instance that is drained, has nothing to do any more and no worker; where it still has
-- jobs, or its worker may live, notes that it is to be asked again (see _routes.lua).
--
-- KEYS 1 entry  2 waiting  3 woken  4 running  5 held back  6 fair  7 leaving  8 instances  9 seen
--      10 delayed  11 prefix of jobs
-- ARGV 1 instance  2 grace ms: a worker unheard for that long is gone  3 1: only if that was noted
-- Returns 1 | 0: it is not drained, or has a worker, or has jobs, those that pause between two
--      attempts included
--!include _clock
local function has_jobs()
  for i = 2, 4 do
    if redis.call('ZCARD', KEYS[i]) > 0 then return true end
  end
  for _, id in ipairs(redis.call('ZRANGE', KEYS[10], 0, -1)) do  -- those of all instances
    local h = redis.pcall('HMGET', KEYS[11] .. id, 'state', 'instance')
    if h[1] == 'queued' and h[2] == ARGV[1] then return true end
  end
  return false
end

if redis.call('HEXISTS', KEYS[8], ARGV[1]) == 0 then return 1 end
local e = redis.call('HMGET', KEYS[1], 'quiet', 'state', 'retiring')
if e[1] ~= 'drained' or ARGV[3] == '1' and not e[3] then return 0 end
local over = e[2] == 'stopped' or e[2] == 'failed'
local heard = tonumber(redis.call('ZSCORE', KEYS[9], ARGV[1]) or 0)
if not over and now_ms() - heard < tonumber(ARGV[2]) or has_jobs() then
  redis.call('HSET', KEYS[1], 'retiring', 1)
  return 0
end
redis.call('DEL', KEYS[1], KEYS[5], KEYS[6], KEYS[7])
redis.call('HDEL', KEYS[8], ARGV[1])
redis.call('ZREM', KEYS[9], ARGV[1])
redis.call('PUBLISH', KEYS[8], ARGV[1] .. ' retired')
return 1
