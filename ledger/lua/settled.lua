#!lua flags=allow-oom
-- Wakes the waiting jobs of an instance, once all that belong to it have been brought.
--
-- KEYS 1 entry  2 waiting  3 woken  4 fair  5 queue
-- Returns 1 | 0: it does not settle
--!include _clock
--!include _order
--!include _topping_up
if redis.call('HGET', KEYS[1], 'quiet') ~= 'settling' then return 0 end
redis.call('HDEL', KEYS[1], 'quiet')
top_up(KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], now_ms())
return 1
