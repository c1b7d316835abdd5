#!lua flags=allow-oom
-- Leaves a note for an instance, and a wake-up that leads to it, before all others.
--
-- KEYS 1 entry  2 queue  3 note
-- ARGV 1 the note's id  2 the note  3 ttl ms
-- Returns 1 | 0 (the instance was never registered)
--!include _clock
--!include _order
local template = redis.call('HGET', KEYS[1], 'wakeup')
if not template then return 0 end
if redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3], 'NX') then
  redis.call('RPUSH', KEYS[2], wakeup_of(template, ARGV[1], 0, now_ms()))
end
return 1
