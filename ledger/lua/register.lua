#!lua flags=allow-oom
-- Makes a worker the one that serves an instance, unless another one does.
--
-- A new one, and one that is back after its jobs went elsewhere, is open for jobs at once where none
-- wait elsewhere; otherwise it joins: whoever reconciles opens it, and brings what belongs to it.
--
-- KEYS 1 entry  2 instances  3 seen  4 routes  prefixes: 5 of entries  6 of waiting  7 of woken
-- ARGV 1 instance  2 owner  3 node  4 pid  5 descriptor JSON  6 wake-up template  7 slots
--      8 grace ms: an owner unheard for that long is gone  9 owner known to be gone ('' = none)
-- Returns {'registered'} | {'taken', owner, node, pid, ms since it was heard}
--!include _clock
--!include _routes
local now = now_ms()
local e = redis.call('HMGET', KEYS[1], 'owner', 'node', 'pid', 'state')
local seen = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or 0)
local over = e[4] == 'stopped' or e[4] == 'failed'
if e[1] and e[1] ~= ARGV[2] and e[1] ~= ARGV[9] and not over
    and now - seen < tonumber(ARGV[8]) then
  return { 'taken', e[1], e[2], tonumber(e[3]), now - seen }
end
local function anybody_waits()
  for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
    for prefix = 6, 7 do
      local count = redis.pcall('ZCARD', KEYS[prefix] .. name)
      if type(count) == 'number' and count > 0 then return true end
    end
  end
  return false
end

local known = redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1
local r = redis.call('HMGET', KEYS[1], 'closed', 'quiet')
local comes = (not known or r[1]) and r[2] ~= 'drained'
if comes and anybody_waits() then
  redis.call('HSET', KEYS[1], 'closed', 'joining')
elseif comes then
  redis.call('HDEL', KEYS[1], 'closed')
end
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'node', ARGV[3], 'pid', ARGV[4], 'wakeup', ARGV[6],
  'slots', ARGV[7], 'state', 'starting', 'why', '')
redis.call('HDEL', KEYS[1], 'retiring')
redis.call('HSET', KEYS[2], ARGV[1], ARGV[5])
if comes then change_routes(KEYS[4], KEYS[2], KEYS[5]) end
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('PUBLISH', KEYS[2], ARGV[1] .. ' starting')
return { 'registered' }
