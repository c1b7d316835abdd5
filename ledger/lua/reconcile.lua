#!lua flags=allow-oom
-- Elects the one worker that repairs, and tells it what is due: the first that asks, until it has not
-- asked for its term. `since` is when it, or the one before it, began to ask without a pause: where
-- all were silent, Redis may have been away, and nobody could renew a lease.
--
-- KEYS 1 reconciler  2 instances  3 delayed  4 expiring
--      prefixes: 5 of jobs  6 of entries
-- ARGV 1 who asks  2 its term ms  3 ms of silence after which `since` begins anew
--      4 how many jobs of a kind
-- Returns {now, since, flat names and descriptors of instances,
--      flat ids and instances of jobs whose pause is over, the same of those that waited too long}
--      | nil: it is another one's task
--!include _clock
local now = now_ms()
local r = redis.call('HMGET', KEYS[1], 'owner', 'at', 'since')
local silent = now - tonumber(r[2] or 0)
if r[1] and r[1] ~= ARGV[1] and silent >= 0 and silent < tonumber(ARGV[2]) then return nil end
local since = r[3]
if silent < 0 or silent > tonumber(ARGV[3]) then since = now end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'at', now, 'since', since)

-- Nobody can wake a job for an instance that has no template of a wake-up; it must not be in the way
-- of those behind it.
local DEFERRED_MS = 30000

local function can_be_woken(instance)
  return type(redis.pcall('HGET', KEYS[6] .. instance, 'wakeup')) == 'string'
end

local function due(set)
  local found = {}
  local ids = redis.call('ZRANGE', set, '-inf', string.format('%.0f', now), 'BYSCORE',
    'LIMIT', 0, ARGV[4])
  for _, id in ipairs(ids) do
    local h = redis.pcall('HMGET', KEYS[5] .. id, 'state', 'instance')
    if h[1] == 'queued' and h[2] and set == KEYS[3] and not can_be_woken(h[2]) then
      redis.call('ZADD', set, string.format('%.0f', now + DEFERRED_MS), id)
    elseif h[1] == 'queued' and h[2] then
      found[#found + 1], found[#found + 2] = id, h[2]
    else
      redis.call('ZREM', set, id)
    end
  end
  return found
end

return { now, tonumber(since), redis.call('HGETALL', KEYS[2]), due(KEYS[3]), due(KEYS[4]) }
