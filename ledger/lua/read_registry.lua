#!lua flags=no-writes
-- Every instance that was ever registered, and when it was last heard.
--
-- KEYS 1 instances  2 seen
-- Returns {flat name and descriptor JSON, flat name and ms, now}
--!include _clock
return {
  redis.call('HGETALL', KEYS[1]), redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES'), now_ms() }
