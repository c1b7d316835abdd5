#!lua
-- Opens an episode, or finds it open: its token limit and its deadline.
--
-- KEYS 1 the episode's budget level
-- ARGV 1 token limit ('' = none)  2 run time ms
-- Returns deadline, ms
--!include _clock
if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], 'limit', ARGV[1]) end
redis.call('HSETNX', KEYS[1], 'deadline', now_ms() + ARGV[2])
return tonumber(redis.call('HGET', KEYS[1], 'deadline'))
