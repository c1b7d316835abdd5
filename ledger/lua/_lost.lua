-- Wake-ups that were lost: a worker took one and was gone before it claimed the job, or somebody
-- emptied Celery's lists. Celery keeps no books of them, so the ledger looks itself.
-- Needs _order.

local MOST_LISTED = 1000  -- from the end that Celery pops; only junk makes a list longer

-- Pushes again what was pushed until that moment and is neither claimed nor in Celery's lists, nor
-- held back. jobs: prefix of their keys.
local function push_lost(jobs, woken, held_back, queue, template, before, now)
  local old = redis.call('ZRANGE', woken, '-inf', string.format('%.0f', before), 'BYSCORE')
  if #old == 0 then return end
  local listed = {}
  for band = 0, BANDS - 1 do
    listed[#listed + 1] = table.concat(
      redis.call('LRANGE', queue .. SUFFIX[band], -MOST_LISTED, -1))
  end
  local under_way = table.concat(listed)
  for i = #old, 1, -1 do  -- the one pushed last is popped first
    local id = old[i]
    if not under_way:find('"' .. id .. '"', 1, true)
        and not redis.call('ZSCORE', held_back, id) then
      local h = redis.pcall('HMGET', jobs .. id, 'state', 'band')
      local band = h[1] == 'queued' and tonumber(h[2])
      if band and SUFFIX[band] then
        push_first(woken, queue, template, id, band, now)
      else
        redis.call('ZREM', woken, id)
      end
    end
  end
end
