#!lua
-- Accepts a job: idempotency, admission, budget hold at every level or none, ledger entry, place
-- in the order, wake-up. All of it or nothing.
--
-- KEYS 1 job  2 request  3 entry  4 waiting  5 woken  6 fair  7 queue  8.. budget levels
-- ARGV 1 id  2 request JSON  3 band 0..3  4 tokens to hold  5 instance  6 tenant
--      7 agent  8 session ('' = none)  9 episode ('' = none)
--      10 timeout ms  11 max attempts  12 max waiting
--      13.. default limit of each level ('' = none)
-- Returns {'accepted'} | {'exists', instance} | {'conflict'} | {'no_instance'} | {'full', waiting}
--      | {'denied', level 1.., limit, used, held} | {'over', level 1..}: that episode has ended
--!include _clock
--!include _order
if redis.call('EXISTS', KEYS[1]) == 1 then
  if redis.call('GET', KEYS[2]) == ARGV[2] then
    return { 'exists', redis.call('HGET', KEYS[1], 'instance') }
  end
  return { 'conflict' }
end

local entry = redis.call('HMGET', KEYS[3], 'wakeup', 'slots')
if not entry[1] then return { 'no_instance' } end

local waiting = redis.call('ZCARD', KEYS[4])
if waiting >= tonumber(ARGV[12]) then return { 'full', waiting } end

local now, hold = now_ms(), tonumber(ARGV[4])
for i = 8, #KEYS do
  local b = redis.call('HMGET', KEYS[i], 'limit', 'used', 'held', 'deadline')
  if b[4] and tonumber(b[4]) <= now then return { 'over', i - 7 } end
  local limit = tonumber(b[1] or ARGV[i + 5])
  local used, held = tonumber(b[2] or 0), tonumber(b[3] or 0)
  if limit and used + held + hold > limit then return { 'denied', i - 7, limit, used, held } end
end

-- Nothing was written up to here: from here on nothing can be refused.
for i = 8, #KEYS do redis.call('HINCRBY', KEYS[i], 'held', hold) end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[1], 'state', 'queued', 'instance', ARGV[5], 'band', ARGV[3], 'fence', 0,
  'held', hold, 'made', 0, 'seq', 0, 'failures', 0, 'attempts', ARGV[11], 'timeout', ARGV[10],
  'submitted', now, 'tenant', ARGV[6], 'agent', ARGV[7])
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'session', ARGV[8]) end
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'episode', ARGV[9]) end
enqueue_fairly(KEYS[4], KEYS[6], ARGV[1], tonumber(ARGV[3]), ARGV[6], hold)
push_wakeups(KEYS[4], KEYS[5], KEYS[6], KEYS[7], entry[1], tonumber(entry[2]), now)
return { 'accepted' }
