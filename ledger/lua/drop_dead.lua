#!lua flags=allow-oom
-- Removes a job that was given up, and its note.
--
-- KEYS 1 dead  2 job  3 request  4 stream  5 result
-- ARGV 1 id
-- Returns 1 | 0 (it is not dead, and only a note of it was removed)
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('HGET', KEYS[2], 'state') ~= 'dead' then return 0 end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
return 1
