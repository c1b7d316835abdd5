#!lua flags=allow-oom
-- Gives a running job back, before all others of its band: it yielded, its worker was lost or goes
-- away. What it held stays held and what it made stays counted. A failure spends one of its
-- attempts. Asked again (a reply that was lost), it answers the same.
--
-- KEYS 1 job  2 stream  3 entry  4 woken  5 running  6 queue  7 leaving
-- ARGV 1 id  2 fence  3 event JSON  4 failures to add (0 or 1)
-- Returns 'queued' | 'fenced'
--      | 'exhausted' or 'stopped' (it was cancelled): nothing was changed, the caller ends it
--!include _clock
--!include _events
--!include _order
local h = redis.call('HMGET', KEYS[1], 'fence', 'state', 'failures', 'attempts', 'band', 'seq',
  'claimed', 'spent', 'stop')
if h[1] ~= ARGV[2] then return 'fenced' end
if h[2] == 'queued' then return 'queued' end
if h[2] ~= 'running' then return 'fenced' end
if h[9] then return 'stopped' end
local failures = h[3] + ARGV[4]
if failures >= tonumber(h[4]) then return 'exhausted' end
local now = now_ms()
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('SREM', KEYS[7], ARGV[1])
-- The run time counts from the claim and across attempts; time spent waiting does not.
redis.call('HSET', KEYS[1], 'state', 'queued', 'failures', failures, 'seq', h[6] + 1,
  'spent', (h[8] or 0) + now - h[7])
append_event(KEYS[2], h[6] + 1, ARGV[3])
push_first(KEYS[4], KEYS[6], redis.call('HGET', KEYS[3], 'wakeup'), ARGV[1], tonumber(h[5]), now)
return 'queued'
