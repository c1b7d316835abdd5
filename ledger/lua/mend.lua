#!lua flags=allow-oom
-- Repairs what an instance's workers left behind: pushes wake-ups that were lost, tops up Celery's
-- lists, lifts jobs that have waited for long, forgets who was told to make way and ended instead, and
-- names the jobs whose lease is over. Ends the instance's rest when its time has come.
--
-- KEYS 1 entry  2 waiting  3 woken  4 running  5 fair  6 queue  7 held back
--      8 prefix of jobs  9 leaving
-- ARGV 1 ms after which a wake-up that is nowhere counts as lost  2 how many leases
--      3 ms after which a waiting job counts as one band higher (0: never)
-- Returns the jobs' ids
--!include _clock
--!include _order
--!include _lost
--!include _ageing
local e, now = redis.call('HMGET', KEYS[1], 'wakeup', 'slots', 'quiet', 'rest'), now_ms()
local patience, rests = tonumber(ARGV[1]), e[4] and tonumber(e[4]) > now
if e[4] and not rests then
  redis.call('HDEL', KEYS[1], 'rest')
  patience = 0  -- who was refused meanwhile has waited for long enough
end
if e[1] and not e[3] and not rests then  -- see _routes.lua
  push_lost(KEYS[8], KEYS[3], KEYS[7], KEYS[6], e[1], now - patience, now)
  push_wakeups(KEYS[2], KEYS[3], KEYS[5], KEYS[6], e[1], tonumber(e[2]), now)
  lift_aged(KEYS[6], KEYS[8], tonumber(ARGV[3]), now)
end
for _, id in ipairs(redis.call('SMEMBERS', KEYS[9])) do  -- one for each slot at most
  if not redis.call('ZSCORE', KEYS[4], id) then redis.call('SREM', KEYS[9], id) end
end
local over = {}
local ids = redis.call('ZRANGE', KEYS[4], '-inf', string.format('(%.0f', now), 'BYSCORE',
  'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  if redis.pcall('HGET', KEYS[8] .. id, 'state') == 'running' then
    over[#over + 1] = id
  else
    redis.call('ZREM', KEYS[4], id)  -- it is gone, or damaged
  end
end
return over
