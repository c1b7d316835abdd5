#!lua flags=allow-oom
-- Notes a job that is about to be given up, and lets go of notes that are old or too many.
--
-- KEYS 1 dead
-- ARGV 1 id  2 ms that notes are kept  3 how many
-- Returns now
--!include _clock
local now = now_ms()
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return now
