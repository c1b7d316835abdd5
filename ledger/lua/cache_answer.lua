#!lua
-- Makes a job that has ended already, of an answer that is in the cache; nothing of it where there is
-- none or where the job is there. No instance and no budget has to do with it.
--
-- KEYS 1 job  2 request  3 stream  4 result  5 answer
-- ARGV 1 id  2 request JSON  3 instance  4 band  5 tenant  6 agent  7 session ('' = none)
--      8 episode ('' = none)  9 timeout ms  10 max attempts  11 ttl ms  12 beginning of the record
--      13 last event JSON  14 record and 15 event of an answer from elsewhere ('' = look at KEYS 5)
-- Returns 1 | 0 (there is no such answer, or the job is there)
--!include _clock
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local record, event = ARGV[14], ARGV[15]
if record == '' then
  local kept = redis.pcall('HMGET', KEYS[5], 'record', 'event')  -- a damaged one is none
  record, event = kept[1], kept[2]
end
if not record then return 0 end
local now, seq = now_ms(), 1
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[11])
redis.call('SET', KEYS[4], ARGV[12] .. record, 'PX', ARGV[11])
if event ~= '' then
  redis.call('XADD', KEYS[3], '1-0', 'e', event)
  seq = 2
end
redis.call('XADD', KEYS[3], seq .. '-0', 'e', ARGV[13])
redis.call('HSET', KEYS[1], 'state', 'succeeded', 'instance', ARGV[3], 'band', ARGV[4], 'fence', 0,
  'held', 0, 'made', 0, 'cost', 0, 'seq', seq, 'failures', 0, 'attempts', ARGV[10],
  'timeout', ARGV[9], 'submitted', now, 'ended', now, 'tenant', ARGV[5], 'agent', ARGV[6])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'session', ARGV[7]) end
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'episode', ARGV[8]) end
redis.call('PEXPIRE', KEYS[1], ARGV[11])
redis.call('PEXPIRE', KEYS[3], ARGV[11])
return 1
