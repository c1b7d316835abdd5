#!lua flags=no-writes
-- How instances are, for people.
--
-- KEYS 1 seen, then for each instance: entry, waiting, woken, running
-- ARGV names of the instances
-- Returns {{state or '', why, node, pid, waiting, woken, running, ms since heard or -1, window,
--      whether it is drained, ms that it rests, what its backend can do}...}
--!include _clock
local now, out = now_ms(), {}
for i = 1, #ARGV do
  local k = 4 * i - 2
  local e = redis.call('HMGET', KEYS[k], 'state', 'why', 'node', 'pid', 'window', 'quiet',
    'rest', 'abilities')
  local seen = redis.call('ZSCORE', KEYS[1], ARGV[i])
  out[i] = { e[1] or '', e[2] or '', e[3] or '', tonumber(e[4] or 0),
    redis.call('ZCARD', KEYS[k + 1]), redis.call('ZCARD', KEYS[k + 2]),
    redis.call('ZCARD', KEYS[k + 3]), seen and (now - seen) or -1,
    tonumber(e[5] or 0), e[6] == 'drained' and 1 or 0, math.max(tonumber(e[7] or 0) - now, 0),
    e[8] or '' }
end
return out
