#!lua flags=no-writes
-- What a session has.
--
-- KEYS 1 session
-- Returns {system messages or '', {turn...} oldest first}
--!include _turns
local s = redis.call('HMGET', KEYS[1], 'first', 'next', 'system')
return { s[3] or '', turns_of(KEYS[1], tonumber(s[1] or 0), tonumber(s[2] or 0)) }
