#!lua flags=allow-oom
-- Gives a running job, which its model cannot answer, to an instance of another model. There it goes
-- before all others of its band and has all its attempts again. What it made is void for its readers;
-- it stays counted, and what it held stays held. Asked again (a reply that was lost), it answers the
-- same.
--
-- KEYS 1 job  2 stream  3 running  4 leaving: of the instance that has it
--      5 entry  6 waiting  7 woken  8 fair  9 queue: of the one that gets it
--      10 expiring
-- ARGV 1 id  2 fence  3 the instance that gets it  4 its model  5 models that were tried, as JSON
--      6 event JSON  7 JSON of a reset, or '': it has made nothing
-- Returns 'queued' | 'fenced' | 'stopped' (it was cancelled, or is out of time)
--      | 'closed': that instance takes no jobs; unless 'queued', nothing was changed
--!include _clock
--!include _events
--!include _order
--!include _queue_time
local h = redis.call('HMGET', KEYS[1], 'fence', 'state', 'band', 'seq', 'claimed', 'spent', 'stop',
  'lifted')
if h[1] ~= ARGV[2] then return 'fenced' end
if h[2] == 'queued' then return 'queued' end
if h[2] ~= 'running' then return 'fenced' end
if h[7] and h[7] ~= 'leave' then return 'stopped' end
local e = redis.call('HMGET', KEYS[5], 'wakeup', 'slots', 'quiet', 'rest', 'closed')
if not e[1] or e[5] then return 'closed' end
local now, seq, band = now_ms(), h[4] + 1, h[3] - (h[8] or 0)
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[1], 'stop', 'rested', 'shares')
append_event(KEYS[2], seq, string.format('%s,"at_ms":%.0f}', ARGV[6]:sub(1, -2), now))
if ARGV[7] ~= '' then
  seq = seq + 1
  append_event(KEYS[2], seq, ARGV[7])
end
-- The run time counts from the claim and across attempts; time spent waiting does not.
redis.call('HSET', KEYS[1], 'state', 'queued', 'instance', ARGV[3], 'model', ARGV[4],
  'tried', ARGV[5], 'failures', 0, 'seq', seq, 'spent', (h[6] or 0) + now - h[5])
go_on_waiting(KEYS[1], KEYS[10], ARGV[1])
redis.call('ZADD', KEYS[6], early_score(KEYS[8], band), ARGV[1])
if not e[3] and not e[4] then  -- see _routes.lua
  push_wakeups(KEYS[6], KEYS[7], KEYS[8], KEYS[9], e[1], tonumber(e[2]), now, { [band] = true })
end
return 'queued'
