#!lua flags=no-writes
-- Every instance that was ever registered, when it was last heard, and what it has to do.
--
-- KEYS 1 instances  2 seen  3 routes  4 prefix of entries  5 of waiting  6 of woken  7 of running
-- Returns {flat name and descriptor JSON, flat name and ms, now, routes,
--      {name, closed or '', quiet or '', state or '', run_ms, jobs that wait, jobs that run,
--       1 if it is to be forgotten, else 0}...}
--!include _clock
local function count(key)
  local found = redis.pcall('ZCARD', key)
  return type(found) == 'number' and found or 0  -- damaged; the other instances still serve
end

local rows = {}
for i, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  local e = redis.pcall('HMGET', KEYS[4] .. name, 'closed', 'quiet', 'state', 'run_ms',
    'retiring')
  local waiting = count(KEYS[5] .. name) + count(KEYS[6] .. name)
  rows[i] = { name, e[1] or '', e[2] or '', e[3] or '', tonumber(e[4] or 0), waiting,
    count(KEYS[7] .. name), e[5] and 1 or 0 }
end
return { redis.call('HGETALL', KEYS[1]), redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES'),
  now_ms(), redis.call('GET', KEYS[3]) or '0', rows }
