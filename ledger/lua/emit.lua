#!lua flags=allow-oom
-- Appends a chunk of a running job, under its fence, and tells the worker whether to go on.
-- A chunk number that was seen is not appended again (a reply that was lost).
--
-- KEYS 1 job  2 stream  3 running  4 queue  5 leaving, and of a job of an episode 6 its level
-- ARGV 1 fence  2 chunk number in this attempt, from 1  3 tokens in it  4 prompt tokens
--      5 event JSON  6 slots  7 yields to bands below this one (0: to none)  8 id
--      of a job of an episode: 9 extension ms  10 the level's default limit ('' = none)
--      11 share of the limit at which readers are told
-- Returns 'go' | 'fenced' | 'cancel' | 'leave' | 'deadline' | 'budget' | 'yield'
--!include _clock
--!include _events
--!include _progress
local job, stream, episode = KEYS[1], KEYS[2], KEYS[6]
local h = redis.call('HMGET', job, 'fence', 'state', 'chunk', 'made', 'held', 'seq', 'deadline',
  'stop')
if h[1] ~= ARGV[1] or h[2] ~= 'running' then return 'fenced' end
local now, tokens, prompt = now_ms(), tonumber(ARGV[3]), tonumber(ARGV[4])
local fresh, ends = tonumber(ARGV[2]) > tonumber(h[3]), tonumber(h[7])
local made, seq = h[4] + tokens, h[6] + 1
if fresh and made + prompt > tonumber(h[5]) then return 'budget' end

-- What the chunk adds to its episode: tokens spent, and where the deadline is moved.
local spent, limit
if episode then
  local e = redis.call('HMGET', episode, 'deadline', 'cap', 'limit', 'used', 'spent')
  local deadline = tonumber(e[1] or ends)
  if fresh then
    local more = tokens + prompt - (redis.call('HGET', job, 'prompt') or 0)
    spent = math.max((e[5] or 0) + more, tonumber(e[4] or 0))
    limit = tonumber(e[3] or ARGV[10]:match('^%d*'))
    if tokens > 0 and e[1] then
      deadline = moved_deadline(deadline, tonumber(e[2]), now, tonumber(ARGV[9]))
      redis.call('HSET', episode, 'spent', spent, 'deadline', deadline, 'progress', now,
        'progress_kind', 'tokens')
    else
      redis.call('HSET', episode, 'spent', spent)
    end
  end
  ends = math.min(ends, deadline)
end

if fresh then
  redis.call('HSET', job, 'chunk', ARGV[2], 'made', made, 'prompt', prompt, 'seq', seq,
    'progress', tokens > 0 and now or redis.call('HGET', job, 'progress'))
  append_event(stream, seq, ARGV[5])
  if limit and spent >= limit * ARGV[11] and redis.call('HSETNX', job, 'low', 1) == 1 then
    redis.call('HSET', job, 'seq', seq + 1)
    append_event(stream, seq + 1, string.format(
      '{"kind":"budget_low","attempt":%d,"used":%.0f,"limit":%.0f}', ARGV[1], spent, limit))
  end
end

if h[8] == 'cancel' or h[8] == 'leave' then return h[8] end
if h[8] then return 'deadline' end
if now > ends then return 'deadline' end
local below = tonumber(ARGV[7])
if below > 0 and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[6]) then
  local better = 0
  for band = 0, below - 1 do
    local list = KEYS[4]
    if band > 0 then list = list .. '\6\022' .. band * 3 end
    better = better + redis.call('LLEN', list)
  end
  if better == 0 then return 'go' end
  -- As many jobs make way as better ones are woken; one that was told so is told again.
  if redis.call('SISMEMBER', KEYS[5], ARGV[8]) == 1 then return 'yield' end
  local told = 0
  for _, id in ipairs(redis.call('SMEMBERS', KEYS[5])) do
    if redis.call('ZSCORE', KEYS[3], id) then told = told + 1
    else redis.call('SREM', KEYS[5], id) end
  end
  if told < better then
    redis.call('SADD', KEYS[5], ARGV[8])
    return 'yield'
  end
end
return 'go'
