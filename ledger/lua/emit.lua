#!lua
-- Appends a chunk of a running job, under its fence, and tells the worker whether to go on.
-- A chunk number that was seen is not appended again (a reply that was lost).
--
-- KEYS 1 job  2 stream  3 running  4 queue
-- ARGV 1 fence  2 chunk number in this attempt, from 1  3 tokens in it  4 prompt tokens
--      5 event JSON  6 slots  7 yields to bands below this one (0: to none)
-- Returns 'go' | 'fenced' | 'cancel' | 'deadline' | 'budget' | 'yield'
--!include _clock
--!include _events
local h = redis.call('HMGET', KEYS[1], 'fence', 'state', 'chunk', 'made', 'held', 'seq', 'deadline',
  'stop')
if h[1] ~= ARGV[1] or h[2] ~= 'running' then return 'fenced' end
local now = now_ms()
if tonumber(ARGV[2]) > tonumber(h[3]) then
  local made = h[4] + ARGV[3]
  if made + ARGV[4] > tonumber(h[5]) then return 'budget' end
  local seq = h[6] + 1
  redis.call('HSET', KEYS[1], 'chunk', ARGV[2], 'made', made, 'prompt', ARGV[4], 'seq', seq,
    'progress', now)
  append_event(KEYS[2], seq, ARGV[5])
end
if h[8] then return 'cancel' end
if now > tonumber(h[7]) then return 'deadline' end
local below = tonumber(ARGV[7])
if below > 0 and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[6]) then
  for band = 0, below - 1 do
    local list = KEYS[4]
    if band > 0 then list = list .. '\6\022' .. band * 3 end
    if redis.call('LLEN', list) > 0 then return 'yield' end
  end
end
return 'go'
