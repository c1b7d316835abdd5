#!lua flags=allow-oom
-- Ends a job that waited for its first claim longer than it may.
--
-- KEYS 1 job  2 request  3 stream  4 result  5 waiting  6 woken  7 expiring  8 parked
--      9.. budget levels
-- ARGV 1 id  2 instance the keys belong to  3 record JSON  4 event JSON  5 Celery's channel
--      6 Celery's meta  7 ttl ms
-- Returns 'expired' | 'moved' (read the job's instance again) | 'begun': it runs, ran or has ended
--!include _clock
--!include _levels
--!include _usage
--!include _close
local h = redis.call('HMGET', KEYS[1], 'state', 'instance', 'held', 'seq')
if h[1] == 'queued' and h[2] ~= ARGV[2] then return 'moved' end
-- A claim takes it out of the list, and only a job that has made nothing is put there again.
local listed = redis.call('ZREM', KEYS[7], ARGV[1]) == 1
if h[1] ~= 'queued' or not listed then return 'begun' end
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('ZREM', KEYS[8], ARGV[1])
close_job(KEYS[1], KEYS[2], KEYS[3], KEYS[4], tail(KEYS, 9), {
  held = h[3], seq = h[4], prompt = 0, made = 0, now = now_ms(),
  state = 'expired', record = ARGV[3], body = ARGV[4], meta_channel = ARGV[5], meta = ARGV[6],
  ttl_ms = ARGV[7] })
return 'expired'
