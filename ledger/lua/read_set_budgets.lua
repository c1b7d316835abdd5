#!lua flags=no-writes
-- The levels of a tenant for which a limit was set.
--
-- KEYS 1 their list
-- Returns {name...}, each scope:id
return redis.call('SMEMBERS', KEYS[1])
