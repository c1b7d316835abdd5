#!lua flags=no-writes
-- What a job was asked.
--
-- KEYS 1 request
-- Returns the request JSON | '' (there is none)
return redis.call('GET', KEYS[1]) or ''
