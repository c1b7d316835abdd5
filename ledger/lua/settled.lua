#!lua flags=allow-oom
-- Wakes the waiting jobs of an instance, once all that belong to it have been brought.
--
-- KEYS 1 entry  2 waiting  3 woken  4 fair  5 queue
-- Returns 1 | 0: it does not settle
--!include _clock
--!include _order
local e = redis.call('HMGET', KEYS[1], 'wakeup', 'slots', 'quiet', 'rest')
if e[3] ~= 'settling' then return 0 end
redis.call('HDEL', KEYS[1], 'quiet')
if not e[4] then
  push_wakeups(KEYS[2], KEYS[3], KEYS[4], KEYS[5], e[1], tonumber(e[2]), now_ms())
end
return 1
