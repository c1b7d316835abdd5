#!lua
-- Takes a job for a worker, if it still applies, and pushes the instance's next wake-up.
-- Asked again with the same nonce (a reply that was lost), it answers the same.
--
-- KEYS 1 job  2 request  3 entry  4 waiting  5 woken  6 running  7 fair  8 queue
-- ARGV 1 id  2 instance  3 owner  4 pid  5 lease ms  6 nonce
-- Returns {'claimed', fence, request, submitted, now, deadline, held, made, prompt, seq, failures}
--      | {'noop', state, 'gone' or 'corrupt'}
--!include _clock
--!include _order
local now = now_ms()
local entry = redis.call('HMGET', KEYS[3], 'wakeup', 'slots')
local h = redis.pcall('HMGET', KEYS[1], 'state', 'instance', 'nonce', 'fence', 'timeout', 'spent')
local mine = h[1] == 'queued' and h[2] == ARGV[2]
local again = h[1] == 'running' and h[3] == ARGV[6]

redis.call('ZREM', KEYS[5], ARGV[1])
if mine then
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('HSET', KEYS[1], 'state', 'running', 'fence', h[4] + 1, 'nonce', ARGV[6],
    'owner', ARGV[3], 'pid', ARGV[4], 'claimed', now, 'progress', now, 'chunk', 0,
    'deadline', now + h[5] - (h[6] or 0))
  redis.call('ZADD', KEYS[6], now + ARGV[5], ARGV[1])
end
if entry[1] then
  push_wakeups(KEYS[4], KEYS[5], KEYS[7], KEYS[8], entry[1], tonumber(entry[2]), now)
end
if not (mine or again) then return { 'noop', h.err and 'corrupt' or h[1] or 'gone' } end

local c = redis.call('HMGET', KEYS[1], 'fence', 'submitted', 'deadline', 'held', 'made', 'prompt',
  'seq', 'failures')
return { 'claimed', tonumber(c[1]), redis.call('GET', KEYS[2]) or '', tonumber(c[2]), now,
  tonumber(c[3]), tonumber(c[4]), tonumber(c[5]), tonumber(c[6] or 0), tonumber(c[7]),
  tonumber(c[8]) }
