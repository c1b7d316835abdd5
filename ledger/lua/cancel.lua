#!lua flags=allow-oom
-- Cancels a job: a waiting one ends here and now, a running one is told to stop.
--
-- KEYS 1 job  2 request  3 stream  4 result  5 waiting  6 woken  7 prefix of usage  8 tenants
--      9 instances  10 delayed  11 expiring  12 parked  13.. budget levels
-- ARGV 1 id  2 instance the keys belong to  3 record JSON, with what it made but without its text
--      and reasoning
--      4 event JSON  5 Celery's channel  6 Celery's meta  7 ttl ms  8 ms that usage is kept
-- Returns 'cancelled' | 'stopping' | 'moved' (read the job again) | 'gone'
--      | the terminal state that it had
--!include _clock
--!include _events
--!include _levels
--!include _usage
--!include _close

-- What the job made before it was given back. Calls of tools that were not complete are of no use.
local function made_before(stream)
  local texts, thoughts = {}, {}
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do
    local event = cjson.decode(entry[2][2])
    if event.kind == 'reset' then texts, thoughts = {}, {} end
    texts[#texts + 1], thoughts[#thoughts + 1] = event.text, event.reasoning
  end
  return { text = table.concat(texts), reasoning = table.concat(thoughts) }
end

-- The record with the first empty value of this name filled in: its own, no fact of its error.
local function with_value(record, name, value)
  local before, after = record:match('^(.-"' .. name .. '":)""(.*)$')
  return before .. cjson.encode(value) .. after
end

local h = redis.call('HMGET', KEYS[1], 'state', 'instance', 'made', 'prompt', 'held', 'seq', 'tenant',
  'agent')
if not h[1] then return 'gone' end
if h[2] ~= ARGV[2] then return 'moved' end
if h[1] == 'running' then
  redis.call('HSET', KEYS[1], 'stop', 'cancel')
  return 'stopping'
end
if h[1] ~= 'queued' then return h[1] end
local prompt, made, usage, record = tonumber(h[4] or 0), tonumber(h[3]), nil, ARGV[3]
if tonumber(h[6] or 0) > 0 then  -- it ran, and perhaps once more since the caller looked
  if tonumber(record:match('"completion_tokens":(%d+)')) ~= made then return 'moved' end
  local sound, parts = pcall(made_before, KEYS[3])
  if sound then
    for name, value in pairs(parts) do record = with_value(record, name, value) end
  end
end
if prompt + made > 0 then
  -- It was given back; what it made until then was made by its instance's model.
  local described, descriptor = pcall(cjson.decode, redis.call('HGET', KEYS[9], ARGV[2]) or '')
  usage = { keys = KEYS[7], tenants = KEYS[8], keep_ms = ARGV[8],
    model = described and descriptor.model or '' }
end
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('ZREM', KEYS[10], ARGV[1])
redis.call('ZREM', KEYS[11], ARGV[1])
redis.call('ZREM', KEYS[12], ARGV[1])
close_job(KEYS[1], KEYS[2], KEYS[3], KEYS[4], tail(KEYS, 13), {
  held = h[5], seq = h[6], tenant = h[7], agent = h[8],
  state = 'cancelled', record = record, body = ARGV[4], meta_channel = ARGV[5], meta = ARGV[6],
  ttl_ms = ARGV[7], prompt = prompt, made = made, usage = usage, now = now_ms() })
return 'cancelled'
