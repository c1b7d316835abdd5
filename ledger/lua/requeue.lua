#!lua flags=allow-oom
-- Gives a running job back to the head of its band: it yielded, its worker was lost or goes away.
-- What it held stays held and what it made stays counted. A failure spends one of its attempts.
--
-- KEYS 1 job  2 stream  3 entry  4 waiting  5 woken  6 running  7 fair  8 queue
-- ARGV 1 id  2 fence  3 event JSON  4 failures to add (0 or 1)
-- Returns 'queued' | 'exhausted' (nothing was changed: the caller ends it) | 'fenced'
--!include _clock
--!include _events
--!include _order
local h = redis.call('HMGET', KEYS[1], 'fence', 'state', 'failures', 'attempts', 'band', 'seq',
  'claimed', 'spent')
if h[1] ~= ARGV[2] or h[2] ~= 'running' then return 'fenced' end
local failures = h[3] + ARGV[4]
if failures >= tonumber(h[4]) then return 'exhausted' end
local now = now_ms()
redis.call('ZREM', KEYS[6], ARGV[1])
-- The run time counts from the claim and across attempts; time spent waiting does not.
redis.call('HSET', KEYS[1], 'state', 'queued', 'failures', failures, 'seq', h[6] + 1,
  'spent', (h[8] or 0) + now - h[7])
append_event(KEYS[2], h[6] + 1, ARGV[3])
enqueue_first(KEYS[4], ARGV[1], tonumber(h[5]))
local entry = redis.call('HMGET', KEYS[3], 'wakeup', 'slots')
if entry[1] then
  push_wakeups(KEYS[4], KEYS[5], KEYS[7], KEYS[8], entry[1], tonumber(entry[2]), now)
end
return 'queued'
