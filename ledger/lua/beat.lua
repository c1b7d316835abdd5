#!lua flags=allow-oom
-- A worker's sign of life: renews the instance and the leases of the jobs it runs, and brings
-- back what the guardian acts on.
--
-- KEYS 1 entry  2 seen  3 running  4.. job of each id
-- ARGV 1 instance  2 owner  3 lease ms  4.. ids, as in KEYS
-- Returns {instance's state, now, {id, fence, pid, progress, deadline, stop or ''}...}
--      | {'taken'}: another worker serves the instance
--!include _clock
local e = redis.call('HMGET', KEYS[1], 'owner', 'state')
if e[1] ~= ARGV[2] then return { 'taken' } end
local now = now_ms()
redis.call('ZADD', KEYS[2], now, ARGV[1])
local reply = { e[2], now }
for i = 4, #KEYS do
  local h = redis.call('HMGET', KEYS[i], 'state', 'owner', 'fence', 'pid', 'progress', 'deadline',
    'stop')
  if h[1] == 'running' and h[2] == ARGV[2] then
    redis.call('ZADD', KEYS[3], 'XX', now + ARGV[3], ARGV[i])
    reply[#reply + 1] = { ARGV[i], tonumber(h[3]), tonumber(h[4]), tonumber(h[5]), tonumber(h[6]),
      h[7] or '' }
  end
end
return reply
