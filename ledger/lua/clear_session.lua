#!lua flags=allow-oom
-- Removes what a session has.
--
-- KEYS 1 session
-- Returns 1 | 0 (there was nothing)
return redis.call('UNLINK', KEYS[1])
