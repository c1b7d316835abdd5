#!lua flags=allow-oom
-- Pushes the wake-ups of turns that were held back because another one of their session ran, as far
-- as none does any more: the first of each session.
--
-- KEYS 1 held back  2 entry  3 woken  4 running  5 queue  6 prefix of jobs
-- Returns how many
--!include _clock
--!include _order
--!include _turn_order
local MOST = 1000
local now, free, seen = now_ms(), {}, {}
local template = redis.call('HGET', KEYS[2], 'wakeup')
if not template then return 0 end
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, MOST - 1)) do
  local h = redis.pcall('HMGET', KEYS[6] .. id, 'state', 'tenant', 'agent', 'session', 'band')
  local band = tonumber(h[5])
  local name = table.concat({ h[2] or '', h[3] or '', h[4] or '' }, '\31')
  if h[1] ~= 'queued' or not band then
    redis.call('ZREM', KEYS[1], id)
  elseif not seen[name] then
    local session = { tenant = h[2], agent = h[3], id = h[4] }
    seen[name] = true
    if not session_runs(KEYS[4], KEYS[6], session, band, now) then
      free[#free + 1] = { id = id, band = band }
    end
  end
end
for i = #free, 1, -1 do  -- the last one pushed is the first that Celery pops
  redis.call('ZREM', KEYS[1], free[i].id)
  push_first(KEYS[3], KEYS[5], template, free[i].id, free[i].band, now)
end
return #free
