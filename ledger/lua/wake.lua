#!lua flags=allow-oom
-- Pushes another wake-up of a job that still waits, before all others of its band; one too many does
-- nothing.
--
-- KEYS 1 job  2 entry  3 waiting  4 woken  5 queue  6 delayed  7 parked
-- ARGV 1 id  2 instance
-- Returns 1 | 0 (it does not wait there)
--!include _clock
--!include _order
local h = redis.call('HMGET', KEYS[1], 'state', 'instance', 'band')
local template = redis.call('HGET', KEYS[2], 'wakeup')
if h[1] ~= 'queued' or h[2] ~= ARGV[2] or not template then return 0 end
push_first(KEYS[4], KEYS[5], template, ARGV[1], tonumber(h[3]), now_ms())  -- or an error
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('ZREM', KEYS[7], ARGV[1])
return 1
