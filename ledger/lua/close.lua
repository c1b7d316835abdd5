#!lua flags=allow-oom
-- Closes an instance whose jobs have gone elsewhere, if no other job came to it meanwhile: from here
-- on its agents' jobs are sent where those went.
--
-- KEYS 1 entry  2 waiting  3 woken  4 instances
-- ARGV 1 instance  2 why: 'absent' or 'drained'  3 how many jobs stay, since they can go nowhere else
-- Returns 1 | 0: there are others, or it is not drained any more
local quiet = redis.call('HGET', KEYS[1], 'quiet')
if ARGV[2] == 'drained' and quiet ~= 'drained' then return 0 end
local waiting = redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3])
if waiting > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'closed', ARGV[2])
if quiet == 'settling' then redis.call('HDEL', KEYS[1], 'quiet') end
redis.call('PUBLISH', KEYS[4], ARGV[1] .. ' closed')
return 1
