#!lua flags=allow-oom
-- A job that others may wait for comes to its end: nobody waits for it any more.
--
-- KEYS 1 run  2 parked
-- ARGV 1 id
-- Returns those that waited, each as 'instance id'
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {} end
local parked = redis.call('SMEMBERS', KEYS[2])
redis.call('DEL', KEYS[1], KEYS[2])
return parked
