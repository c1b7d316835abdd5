#!lua flags=allow-oom
-- Says that a running job must stop, and why: at its next chunk, or when its process is gone.
--
-- KEYS 1 job
-- ARGV 1 fence  2 why: the time limit that it has passed, or 'leave': its worker goes away
-- Returns 1 | 0: it does not run under this fence any more
local h = redis.call('HMGET', KEYS[1], 'fence', 'state', 'stop')
if h[1] ~= ARGV[1] or h[2] ~= 'running' then return 0 end
if not h[3] then redis.call('HSET', KEYS[1], 'stop', ARGV[2]) end
return 1
