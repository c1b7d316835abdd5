#!lua flags=no-writes
-- Jobs that were given up, the latest first.
--
-- KEYS 1 dead
-- ARGV 1 number of the first one, from 0  2 how many
-- Returns {id...}
return redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1, 'REV')
