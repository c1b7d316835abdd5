#!lua
-- Puts an answer into the cache; the oldest ones make room for it.
--
-- KEYS 1 answer  2 cached  3 bytes of what is cached
-- ARGV 1 record  2 event  3 agent  4 session ('' = none)  5 ttl ms  6 most bytes of all together
-- Returns 1 | 0 (it is larger than all may be)
--!include _clock
--!include _kept
local OVERHEAD = 300  -- what Redis needs beside the texts, about
local size, now = OVERHEAD + #KEYS[1] + #ARGV[1] + #ARGV[2], now_ms()
if size > tonumber(ARGV[6]) then return 0 end
let_go_of_old(KEYS[2], KEYS[3], now)
let_go(KEYS[2], KEYS[3], KEYS[1])
local room = ARGV[6] - size
while tonumber(redis.call('HGET', KEYS[3], 'total') or 0) > room do
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if oldest then
    let_go(KEYS[2], KEYS[3], oldest)
  else  -- somebody removed the zset
    redis.call('DEL', KEYS[3])
  end
end
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'event', ARGV[2], 'agent', ARGV[3],
  'session', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], now + ARGV[5], KEYS[1])
redis.call('HSET', KEYS[3], KEYS[1], size)
redis.call('HINCRBY', KEYS[3], 'total', size)
return 1
