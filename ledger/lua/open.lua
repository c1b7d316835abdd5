#!lua flags=allow-oom
-- Opens an instance that was closed and is ready: its agents' jobs are sent to it again. They are not
-- woken before settled.lua says that all that belong to it, and wait elsewhere, have been brought.
--
-- KEYS 1 entry  2 instances  3 routes  4 prefix of entries
-- ARGV 1 instance
-- Returns 1 | 0: it is drained, or not ready
--!include _routes
local e = redis.call('HMGET', KEYS[1], 'state', 'quiet', 'closed')
if e[1] ~= 'ready' or e[2] == 'drained' then return 0 end
if not e[3] then return 1 end
redis.call('HDEL', KEYS[1], 'closed')
redis.call('HSET', KEYS[1], 'quiet', 'settling')
change_routes(KEYS[3], KEYS[2], KEYS[4])
redis.call('PUBLISH', KEYS[2], ARGV[1] .. ' open')
return 1
