#!lua
-- Opens an episode, or finds it open: its token limit, its deadline and the cap of that.
--
-- KEYS 1 the episode's budget level  2 episodes
-- ARGV 1 token limit ('' = none)  2 run time ms  3 the longest it may become by progress, ms
--      4 ms that it is kept after that ('' = for ever)
-- Returns the deadline, ms
--!include _clock
local now = now_ms()
if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], 'limit', ARGV[1]) end
if redis.call('HSETNX', KEYS[1], 'deadline', now + ARGV[2]) == 1 then
  local longest = math.max(tonumber(ARGV[2]), tonumber(ARGV[3]))
  redis.call('HSET', KEYS[1], 'opened', now, 'cap', now + longest)
  -- The set has those that may still run, and is short by itself.
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  redis.call('ZADD', KEYS[2], now + longest, KEYS[1])
  if ARGV[4] ~= '' and tonumber(redis.call('HGET', KEYS[1], 'held') or 0) == 0 then
    redis.call('PEXPIRE', KEYS[1], longest + ARGV[4])  -- until a job holds tokens here
  end
end
return tonumber(redis.call('HGET', KEYS[1], 'deadline'))
