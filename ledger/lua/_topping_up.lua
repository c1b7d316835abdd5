-- Tops up the lists of an instance whose waiting jobs may be woken now: it is neither quiet nor at rest
-- (see _routes.lua). Needs _order. bands: those to look at; nil: all.
local function top_up(entry, waiting, woken, fair, queue, now, bands)
  local e = redis.call('HMGET', entry, 'wakeup', 'slots', 'quiet', 'rest')
  if e[1] and not e[3] and not e[4] then
    push_wakeups(waiting, woken, fair, queue, e[1], tonumber(e[2]), now, bands)
  end
end
