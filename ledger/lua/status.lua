#!lua flags=no-writes
-- Where a job stands.
--
-- KEYS 1 job  2 result  3 entry  4 waiting  5 woken  6 running  7 seen  8 queue
--      9 delayed
-- ARGV 1 id  2 instance
-- Returns {flat fields of the job, record JSON or '', jobs of each band before it, jobs that run,
--      run_ms, slots, instance's state, why, ms since that was heard or -1,
--      ms that it waits before its next attempt, ms that its instance rests}
-- Those before it are the waiting ones with a lower score and the wake-ups in Celery's lists that
-- are popped earlier. A wake-up of a job that was cancelled is counted until it is popped.
--!include _clock
--!include _order
local band = tonumber(redis.call('HGET', KEYS[1], 'band') or 0)
local rank = redis.call('ZRANK', KEYS[4], ARGV[1])

-- Wake-ups that Celery pops before the job's own, which is in this list: from its end on.
local function before_own(list)
  local wakeups = redis.call('LRANGE', list, 0, -1)
  for i = #wakeups, 1, -1 do
    if wakeups[i]:find(ARGV[1], 1, true) then return #wakeups - i end
  end
  return 0
end

local ahead, left = {}, rank or math.huge
for b = 0, BANDS - 1 do
  local list = KEYS[8] .. SUFFIX[b]
  if b > band then
    ahead[b + 1] = 0
  elseif b == band and not rank then
    ahead[b + 1] = before_own(list)
  else
    local waiting = math.min(left, redis.call('ZCOUNT', KEYS[4],
      string.format('%.0f', b * BAND), string.format('(%.0f', (b + 1) * BAND)))
    ahead[b + 1], left = redis.call('LLEN', list) + waiting, left - waiting
  end
end
local again = redis.call('ZSCORE', KEYS[9], ARGV[1])
local pause = again and math.max(again - now_ms(), 0) or 0
local e = redis.call('HMGET', KEYS[3], 'run_ms', 'slots', 'state', 'why', 'quiet', 'rest')
local seen = redis.call('ZSCORE', KEYS[7], ARGV[2])
return { redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[2]) or '', ahead,
  redis.call('ZCARD', KEYS[6]), tonumber(e[1] or 0), tonumber(e[2] or 1),
  e[5] == 'drained' and e[5] or e[3] or '', e[5] ~= 'drained' and e[4] or '',
  seen and (now_ms() - seen) or -1, pause, math.max(tonumber(e[6] or 0) - now_ms(), 0) }
