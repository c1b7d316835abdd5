#!lua flags=allow-oom
-- Elects the one worker that logs how episodes stand, and tells it: the first that asks, until it
-- has not asked for a lease's time.
--
-- KEYS 1 lease  2 episodes, whose members are keys of budget levels
-- ARGV 1 who asks  2 lease ms  3 episodes at most, those first that end first
-- Returns {now, {level, facts as _episode_facts.lua has them}...} | nil: it is another one's task
--!include _clock
--!include _episode_facts
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return nil end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
local now = now_ms()
local found = { now }
for _, level in ipairs(redis.call('ZRANGE', KEYS[2], 0, ARGV[3] - 1)) do
  local facts = episode_facts(level)
  if facts and facts[6] > now then
    found[#found + 1] = { level, facts }
  else
    redis.call('ZREM', KEYS[2], level)
  end
end
return found
