-- Answers in the cache: a hash each, and for all of them together the zset `cached` (key -> until
-- when, ms) and the hash `bytes` (key -> size, and the total).
local function let_go(cached, bytes, key)
  local size = redis.call('HGET', bytes, key)
  redis.call('UNLINK', key)
  redis.call('ZREM', cached, key)
  if size then
    redis.call('HDEL', bytes, key)
    redis.call('HINCRBY', bytes, 'total', '-' .. size)
  end
end

local MOST_OLD = 100  -- let go of at a time: a thousand answers may have come in one second

-- Lets go of those whose time is over, which Redis has removed already.
local function let_go_of_old(cached, bytes, now)
  local old = redis.call('ZRANGE', cached, '-inf', string.format('%.0f', now), 'BYSCORE',
    'LIMIT', 0, MOST_OLD)
  for _, key in ipairs(old) do let_go(cached, bytes, key) end
end
