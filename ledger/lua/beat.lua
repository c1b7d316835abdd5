#!lua flags=allow-oom
-- A worker's sign of life: renews the instance and the leases of the jobs it runs, and brings
-- back what the guardian acts on.
--
-- KEYS 1 entry  2 seen  3 running  4.. job of each id
-- ARGV 1 instance  2 owner  3 lease ms  4.. ids, as in KEYS; last: prefix of episodes' levels
-- Returns {instance's state, now, {id, fence, pid, claimed, progress, deadline, stop or '',
--      other time limits or '', deadline of its episode or 0}...}
--      | {'taken'}: another worker serves the instance
--!include _clock
--!include _episode
local e = redis.call('HMGET', KEYS[1], 'owner', 'state')
if e[1] ~= ARGV[2] then return { 'taken' } end
local now = now_ms()
redis.call('ZADD', KEYS[2], now, ARGV[1])
local reply = { e[2], now }
for i = 4, #KEYS do
  local h = redis.call('HMGET', KEYS[i], 'state', 'owner', 'fence', 'pid', 'claimed', 'progress',
    'deadline', 'stop', 'limits', 'tenant', 'episode')
  if h[1] == 'running' and h[2] == ARGV[2] then
    redis.call('ZADD', KEYS[3], 'XX', now + ARGV[3], ARGV[i])
    reply[#reply + 1] = { ARGV[i], tonumber(h[3]), tonumber(h[4]), tonumber(h[5]), tonumber(h[6]),
      tonumber(h[7]), h[8] or '', h[9] or '',
      h[11] and h[10] and episode_deadline(ARGV[#ARGV], h[10], h[11]) or 0 }
  end
end
return reply
