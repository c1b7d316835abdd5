#!lua flags=no-writes
-- The tenants that have spent something.
--
-- KEYS 1 tenants
-- Returns {{tenant...}, now}
--!include _clock
return { redis.call('ZRANGE', KEYS[1], 0, -1), now_ms() }
