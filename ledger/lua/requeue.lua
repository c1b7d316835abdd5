#!lua flags=allow-oom
-- Gives a running job back: it yielded, its attempt failed, its worker was lost or goes away. It goes
-- before all others of its band. An attempt that failed is one less that it has; after its second
-- one the job waits before the next, so that one that ends every process leaves room for others.
-- What it held stays held and what it made stays counted. Asked again (a reply that was lost), it
-- answers the same.
--
-- Where its provider takes no more requests for now, its instance rests (see _routes.lua), and it
-- waits like one whose wake-up is lost: mend.lua wakes it, before all others.
--
-- Where it only waits, for its provider or for an equal job, its time in the queue goes on if it has
-- made nothing yet, and readers are told of the first time alone: it may happen every few seconds.
--
-- KEYS 1 job  2 stream  3 entry  4 woken  5 running  6 queue  7 leaving  8 delayed  9 expiring
--      10 parked
-- ARGV 1 id  2 fence  3 event JSON  4 failures to add (0 or 1)  5 ms to wait at least
--      6 1: only if its lease is over
--      7 1: it waits for an equal job
--      where the instance is to rest: 8 ms  9 ms since its first such rest until it is given up
-- Returns 'queued' | 'fenced' | 'renewed' (its lease is not over)
--      | 'exhausted' or 'stopped' (it was cancelled): nothing was changed, the caller ends it
--!include _clock
--!include _events
--!include _order
--!include _queue_time
local LONGEST_PAUSE_MS = 60000

-- 0, 1, 4, 16, 60 s: a process may be lost once by accident.
local function pause_after(failures)
  return failures < 2 and 0 or math.min(1000 * 4 ^ (failures - 2), LONGEST_PAUSE_MS)
end

local h = redis.call('HMGET', KEYS[1], 'fence', 'state', 'failures', 'attempts', 'band', 'seq',
  'claimed', 'spent', 'stop', 'lifted', 'rested', 'shares')
if h[1] ~= ARGV[2] then return 'fenced' end
if h[2] == 'queued' then return 'queued' end
if h[2] ~= 'running' then return 'fenced' end
local now = now_ms()
if ARGV[6] == '1' and tonumber(redis.call('ZSCORE', KEYS[5], ARGV[1]) or 0) > now then
  return 'renewed'
end
if h[9] and h[9] ~= 'leave' then return 'stopped' end
local failures, event = h[3] + ARGV[4], ARGV[3]
if failures >= tonumber(h[4]) then return 'exhausted' end
local pause, shares, rest = tonumber(ARGV[5]), ARGV[7] == '1', tonumber(ARGV[8])
if rest and now - (h[11] or now) >= tonumber(ARGV[9]) then return 'exhausted' end
if ARGV[4] == '1' then
  pause = math.max(pause_after(failures), pause)
  event = string.format('%s,"at_ms":%.0f}', event:sub(1, -2), now)
end
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('SREM', KEYS[7], ARGV[1])
if h[9] then redis.call('HDEL', KEYS[1], 'stop') end
if h[12] and not shares then redis.call('HDEL', KEYS[1], 'shares') end  -- by now it ran itself
-- The run time counts from the claim and across attempts; time spent waiting does not.
redis.call('HSET', KEYS[1], 'state', 'queued', 'failures', failures,
  'spent', (h[8] or 0) + now - h[7])
if not (rest and h[11] or shares and h[12]) then
  redis.call('HSET', KEYS[1], 'seq', h[6] + 1)
  append_event(KEYS[2], h[6] + 1, event)
end
if rest or shares then
  redis.call('HSETNX', KEYS[1], rest and 'rested' or 'shares', now)
  go_on_waiting(KEYS[1], KEYS[9], ARGV[1])
end
local template = redis.call('HGET', KEYS[3], 'wakeup')
if rest then
  local over = math.max(now + rest, tonumber(redis.call('HGET', KEYS[3], 'rest') or 0))
  redis.call('HSET', KEYS[3], 'rest', string.format('%.0f', over))
end
if rest and template then
  redis.call('ZADD', KEYS[4], now, ARGV[1])
elseif pause > 0 or not template then
  redis.call('ZADD', KEYS[8], now + pause, ARGV[1])
else
  push_first(KEYS[4], KEYS[6], template, ARGV[1], h[5] - (h[10] or 0), now)
end
if shares then  -- it counts among those that may wait: see submit.lua
  redis.call('ZREMRANGEBYSCORE', KEYS[10], '-inf', now)
  redis.call('ZADD', KEYS[10], now + pause, ARGV[1])
  redis.call('PEXPIRE', KEYS[10], LONGEST_PAUSE_MS)
end
return 'queued'
