#!lua flags=allow-oom
-- Removes a note.
--
-- KEYS 1 note
-- Returns 1 | 0 (it was gone)
return redis.call('DEL', KEYS[1])
