#!lua flags=allow-oom
-- Takes a job for a worker, if it still applies, and pushes the instance's next wake-up.
-- Asked again with the same nonce (a reply that was lost), it answers the same.
--
-- A turn whose session runs already is held back instead. A drained instance takes none. One that
-- rests takes none either: a job waits on there like one whose wake-up is lost, until mend.lua wakes
-- it.
--
-- KEYS 1 job  2 request  3 entry  4 waiting  5 woken  6 running  7 fair  8 queue  9 held back
--      10 expiring  11 delayed
-- ARGV 1 id  2 instance  3 owner  4 pid  5 lease ms  6 nonce  7 prefix of episodes' levels
-- Returns {'claimed', fence, request or '', submitted, now, deadline, held, made, prompt, failures,
--      deadline of its episode or 0, bands that it was lifted by}
--      | {'noop', state, 'gone' or 'corrupt'}
--!include _clock
--!include _order
--!include _episode
--!include _turn_order
local now = now_ms()
local entry = redis.call('HMGET', KEYS[3], 'wakeup', 'slots', 'quiet', 'rest')  -- see _routes.lua
-- A damaged job must not keep the next wake-up from being pushed.
local h = redis.pcall('HMGET', KEYS[1], 'state', 'instance', 'nonce', 'fence', 'submitted',
  'timeout', 'held', 'made', 'failures', 'spent', 'prompt', 'deadline',
  'tenant', 'episode', 'agent', 'session', 'band', 'limits', 'lifted')
local sound = not h.err
for i = 4, 9 do sound = sound and tonumber(h[i]) end

redis.call('ZREM', KEYS[5], ARGV[1])
local mine = sound and h[1] == 'queued' and h[2] == ARGV[2]
local again = sound and h[1] == 'running' and h[3] == ARGV[6]
local fence, deadline = h[4], h[12]
if mine and h[16] and tonumber(h[17] or '') and tonumber(entry[2] or 1) > 1
    and (redis.call('GET', KEYS[2]) or ''):find('"history":true', 1, true) then
  local band, prefix = tonumber(h[17]), KEYS[1]:sub(1, -#ARGV[1] - 1)
  local session = { tenant = h[13], agent = h[15], id = h[16] }
  if session_runs(KEYS[6], prefix, session, band, now) then
    mine = false
    redis.call('ZREM', KEYS[4], ARGV[1])
    redis.call('ZADD', KEYS[5], now, ARGV[1])  -- who looks for waiting jobs finds it there
    -- By band, then as they came.
    redis.call('ZADD', KEYS[9], band * 1e13 + now + redis.call('ZCARD', KEYS[9]), ARGV[1])
  end
end
if mine and entry[3] == 'drained' then  -- it waits on, before all others
  mine = false
  redis.call('ZADD', KEYS[4], 'NX', early_score(KEYS[7], tonumber(h[17])), ARGV[1])
end
if mine and entry[4] then
  mine = false
  if not redis.call('ZSCORE', KEYS[4], ARGV[1]) then  -- unless its wake-up was one too many
    -- To the microsecond, which no two claims share: they stay in the order of their turns.
    local moment = string.format('%.0f.%03d', now, redis.call('TIME')[2] % 1000)
    redis.call('ZADD', KEYS[5], moment, ARGV[1])
  end
end
if mine then
  fence, deadline = h[4] + 1, now + h[6] - (h[10] or 0)
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('HSET', KEYS[1], 'state', 'running', 'fence', fence, 'nonce', ARGV[6],
    'owner', ARGV[3], 'pid', ARGV[4], 'claimed', now, 'progress', now, 'chunk', 0,
    'deadline', deadline)
  redis.call('ZADD', KEYS[6], now + ARGV[5], ARGV[1])
  if h[18] then redis.call('ZREM', KEYS[10], ARGV[1]) end
  if tonumber(h[9]) > 0 then redis.call('ZREM', KEYS[11], ARGV[1]) end
end
if entry[1] and not entry[3] and not entry[4] then
  push_wakeups(KEYS[4], KEYS[5], KEYS[7], KEYS[8], entry[1], tonumber(entry[2]), now)
end
if not sound and (h.err or h[1]) then return { 'noop', 'corrupt' } end
if not (mine or again) then return { 'noop', h[1] or 'gone' } end
return { 'claimed', tonumber(fence), redis.call('GET', KEYS[2]) or '', tonumber(h[5]), now,
  tonumber(deadline), tonumber(h[7]), tonumber(h[8]), tonumber(h[11] or 0), tonumber(h[9]),
  h[14] and h[13] and episode_deadline(ARGV[7], h[13], h[14]) or 0,
  tonumber(h[19] or 0) }
