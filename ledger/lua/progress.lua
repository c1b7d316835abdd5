#!lua
-- Notes an episode's progress; when less than the extension is left, it moves the deadline on.
--
-- KEYS 1 the episode's budget level
-- ARGV 1 kind  2 extension ms
-- Returns ms left, 0 when it is over | nil: no such episode
--!include _clock
local now = now_ms()
local h = redis.call('HMGET', KEYS[1], 'deadline', 'cap')
if not h[1] then return nil end
local deadline = tonumber(h[1])
if deadline <= now then return 0 end
if deadline - now < tonumber(ARGV[2]) then
  deadline = math.max(deadline, math.min(now + ARGV[2], tonumber(h[2])))
end
redis.call('HSET', KEYS[1], 'deadline', deadline, 'progress', now, 'progress_kind', ARGV[1])
return deadline - now
