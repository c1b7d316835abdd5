#!lua flags=no-writes
-- A job and its terminal record.
--
-- KEYS 1 job  2 result
-- Returns {flat fields of the job, record JSON or '', now}; no fields: there is no such job
--!include _clock
return { redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[2]) or '', now_ms() }
