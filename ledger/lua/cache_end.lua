#!lua flags=allow-oom
-- A job that others may wait for comes to its end: nobody waits for it any more. Where it leaves no
-- answer, its equals are likely to leave none either: for a while they do not wait for one another,
-- which an empty note says. Asked again (a reply that was lost), it names nobody, and who waited
-- looks for the answer when its pause is over.
--
-- KEYS 1 run  2 parked  3 answer
-- ARGV 1 id  2 ms for which equal ones run by themselves if there is no answer (0: they do not)
-- Returns those that waited, each as 'instance id'
local note = redis.call('GET', KEYS[1])
if not note or note:match('^%S+') ~= ARGV[1] then return {} end
local parked = redis.call('SMEMBERS', KEYS[2])
redis.call('DEL', KEYS[1], KEYS[2])
if ARGV[2] ~= '0' and redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('SET', KEYS[1], '', 'PX', ARGV[2])
end
return parked
