-- Waiting jobs rise with age, so that a band which is never empty does not keep the ones below it
-- waiting for ever: one that has waited for so long counts as one band higher, never above HIGH.
--
-- No score changes: the wake-up of the next job of a band, if it has waited for long enough, is put
-- behind those of the best band below URGENT that keeps it waiting. Where none does, its turn comes
-- anyway. And only if the last one there was not lifted itself, so that both take turns, however many
-- have waited for long. `lifted` of a job says by how many bands. To be done now and then, such as once
-- a second: it lifts one job of a band at a time.
-- Needs _order.

-- Of the job whose wake-up that is: id, band, since when it waits; nil: it is damaged or gone.
local function who_waits(jobs, message)
  local id = message:match('"id": ?"(.-)"')
  local h = id and redis.pcall('HMGET', jobs .. id, 'band', 'submitted') or {}
  return id, tonumber(h[1] or ''), tonumber(h[2] or '')
end

-- The best band below URGENT, of those above this one, that has wake-ups; and the last one of them.
local function what_keeps(queue, band)
  for above = 1, band - 1 do
    local last = redis.call('LINDEX', queue .. SUFFIX[above], 0)
    if last then return above, last end
  end
end

-- jobs: prefix of their keys. ageing: ms, 0: they do not.
local function lift_aged(queue, jobs, ageing, now)
  if ageing == 0 then return end
  for band = 2, BANDS - 1 do
    local own = queue .. SUFFIX[band]
    local first = redis.call('LINDEX', own, -1)
    local above, last = what_keeps(queue, first and band or 0)
    if above then
      local id, its, since = who_waits(jobs, first)
      local _, lasts = who_waits(jobs, last)
      if lasts == above and its and since and now - since >= ageing * (its - above) then
        redis.call('LMOVE', own, queue .. SUFFIX[above], 'RIGHT', 'LEFT')
        redis.call('HSET', jobs .. id, 'lifted', its - above)
      end
    end
  end
end
