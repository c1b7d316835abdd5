#!lua
-- Opens an episode, or finds it open: its token limit, its deadline and the cap of that.
--
-- KEYS 1 the episode's budget level
-- ARGV 1 token limit ('' = none)  2 run time ms  3 the longest it may become by progress, ms
-- Returns the deadline, ms
--!include _clock
local now = now_ms()
if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], 'limit', ARGV[1]) end
if redis.call('HSETNX', KEYS[1], 'deadline', now + ARGV[2]) == 1 then
  redis.call('HSET', KEYS[1], 'cap', now + math.max(tonumber(ARGV[2]), tonumber(ARGV[3])))
end
return tonumber(redis.call('HGET', KEYS[1], 'deadline'))
