#!lua flags=allow-oom
-- Notes what the caller of an episode reports as progress.
--
-- KEYS 1 the episode's budget level
-- ARGV 1 kind  2 facts JSON or ''  3 extension ms
-- Returns ms left, 0 when it is over | nil: no such episode
--!include _clock
--!include _progress
local now = now_ms()
local h = redis.call('HMGET', KEYS[1], 'deadline', 'cap')
if not h[1] then return nil end
local deadline = moved_deadline(tonumber(h[1]), tonumber(h[2]), now, tonumber(ARGV[3]))
if deadline <= now then return 0 end
redis.call('HSET', KEYS[1], 'deadline', deadline, 'progress', now, 'progress_kind', ARGV[1],
  'progress_facts', ARGV[2])
return deadline - now
