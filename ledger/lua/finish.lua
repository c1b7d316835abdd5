#!lua flags=allow-oom
-- Ends a running job under its fence: record, settled tokens, terminal event, Celery's result.
-- Asked again with the same fence, it changes nothing and answers 'finished'.
--
-- KEYS 1 job  2 request  3 stream  4 result  5 running  6 entry  7 prefix of usage  8 tenants
--      9.. budget levels, and the session, where a turn is added to it
-- ARGV 1 id  2 fence  3 state  4 record JSON  5 event JSON  6 Celery's channel  7 Celery's meta
--      8 ttl ms  9 prompt tokens  10 model  11 ms that usage is kept
--      where a turn is added: 12 turn JSON  13 system messages or ''  14 most turns  15 most bytes
--      16 the session's ttl ms
--      where the answer was made by another job, instead: 12 JSON of the event that has all of it,
--      or '': there is nothing to read
-- Returns 'finished' | 'fenced'
--!include _clock
--!include _events
--!include _levels
--!include _usage
--!include _close
--!include _turns
local h = redis.call('HMGET', KEYS[1], 'fence', 'state', 'made', 'prompt', 'claimed', 'held',
  'seq', 'tenant', 'agent')
if h[1] ~= ARGV[2] then return 'fenced' end
if h[2] == ARGV[3] then return 'finished' end
if h[2] ~= 'running' then return 'fenced' end
local now = now_ms()
local prompt = math.max(tonumber(ARGV[9]), tonumber(h[4] or 0))
local levels = tail(KEYS, 9)
local session = ARGV[13] and table.remove(levels)
local seq, of_another = h[7], not session and ARGV[12]
redis.call('ZREM', KEYS[5], ARGV[1])
if of_another and of_another ~= '' then
  seq = (seq or 0) + 1
  pcall(append_event, KEYS[3], seq, of_another)  -- close_job sees to a stream that is damaged
end
close_job(KEYS[1], KEYS[2], KEYS[3], KEYS[4], levels, {
  held = h[6], seq = seq, tenant = h[8], agent = h[9],
  state = ARGV[3], record = ARGV[4], body = ARGV[5], meta_channel = ARGV[6], meta = ARGV[7],
  ttl_ms = ARGV[8], prompt = prompt, made = tonumber(h[3]), now = now,
  usage = { keys = KEYS[7], tenants = KEYS[8], model = ARGV[10], keep_ms = ARGV[11] } })
if session then
  add_turn(session, ARGV[12], ARGV[13], tonumber(ARGV[14]), tonumber(ARGV[15]), ARGV[16], now)
end
if ARGV[3] == 'succeeded' and not of_another then
  -- A moving average of how long a job runs, for the waiting ones' ETA.
  local average = tonumber(redis.call('HGET', KEYS[6], 'run_ms') or now - h[5])
  redis.call('HSET', KEYS[6], 'run_ms', math.floor(average * 0.8 + (now - h[5]) * 0.2))
end
return 'finished'
