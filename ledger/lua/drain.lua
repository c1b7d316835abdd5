#!lua flags=allow-oom
-- Drains an instance, or resumes it: a drained one starts no job, also after its worker was started
-- again.
--
-- KEYS 1 entry  2 waiting  3 woken  4 fair  5 queue  6 instances
-- ARGV 1 instance  2 '1': drain, '0': resume
-- Returns {whether that changed anything, whether it is closed} | nil: there is no such instance
--!include _clock
--!include _order
--!include _topping_up
if redis.call('HEXISTS', KEYS[6], ARGV[1]) == 0 then return nil end
local e = redis.call('HMGET', KEYS[1], 'quiet', 'closed')
local drained, closed = e[1] == 'drained', e[2] and 1 or 0
if drained == (ARGV[2] == '1') then return { 0, closed } end
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[1], 'quiet', 'drained')
else
  redis.call('HDEL', KEYS[1], 'quiet', 'retiring')
  if closed == 1 then
    redis.call('HSET', KEYS[1], 'closed', 'joining')
  else
    top_up(KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], now_ms())
  end
end
redis.call('PUBLISH', KEYS[6], ARGV[1] .. (ARGV[2] == '1' and ' drained' or ' resumed'))
return { 1, closed }
