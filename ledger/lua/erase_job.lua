#!lua flags=allow-oom
-- Removes a job that has ended.
--
-- KEYS 1 job  2 request  3 stream  4 result
-- Returns 1 | 0 (it waits or runs, and nothing was removed)
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'queued' or state == 'running' then return 0 end
redis.call('UNLINK', unpack(KEYS))
return 1
