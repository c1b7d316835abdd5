-- The order in which an instance's waiting jobs are served.
--
-- score = band * 2^50 + tag. Bands 0..3 are URGENT, HIGH, NORMAL, LOW. The tag is a start tag of
-- start-time fair queueing (Goyal, Vin, Cheng 1996), in held tokens, per band and tenant: a tenant
-- that sent many jobs queues behind its own jobs, not in front of everybody else's. A tenant that
-- was idle may go ahead by BURST jobs' worth.
--
-- fair: for each band 'v' (virtual time: the largest tag that was served) and for each band and
-- tenant 'f' (where its next job begins). Tags begin at ORIGIN, which leaves room for the burst.
local BAND = 2 ^ 50
local ORIGIN = 2 ^ 40
local BURST = 4
local BANDS = 4
local SUFFIX = { [0] = '', '\6\0223', '\6\0226', '\6\0229' }

local function enqueue_fairly(waiting, fair, id, band, tenant, cost)
  local t = redis.call('HMGET', fair, 'v' .. band, 'f' .. band .. ':' .. tenant)
  local start = math.max(tonumber(t[2] or 0), tonumber(t[1] or ORIGIN) - BURST * cost, 0)
  redis.call('HSET', fair, 'f' .. band .. ':' .. tenant, string.format('%.0f', start + cost))
  redis.call('ZADD', waiting, string.format('%.0f', band * BAND + start), id)
end

-- The envelope of one wake-up. template: as kombu writes it, with the id, the delivery tag and the
-- priority left open.
local function wakeup_of(template, id, band, now)
  local message = template:gsub('@@ID@@', id):gsub('@@TAG@@', id .. '.' .. now)
    :gsub('"@@PRIORITY@@"', band * 3)
  return (message)
end

-- Tops up Celery's lists with wake-ups of the best waiting jobs: slots + 1 per band, so the best
-- URGENT one is always among them.
local function push_wakeups(waiting, woken, fair, queue, template, slots, now)
  if redis.call('ZCARD', waiting) == 0 then
    -- Nobody waits, nobody is about to run: all shares are even again.
    if redis.call('ZCARD', woken) == 0 then redis.call('DEL', fair) end
    return
  end
  for band = 0, BANDS - 1 do
    local list = queue .. SUFFIX[band]
    local room = slots + 1 - redis.call('LLEN', list)
    if room > 0 then
      local best = redis.call('ZRANGE', waiting, string.format('%.0f', band * BAND),
        string.format('(%.0f', (band + 1) * BAND), 'BYSCORE', 'LIMIT', 0, room, 'WITHSCORES')
      for i = 1, #best, 2 do
        local id, tag = best[i], best[i + 1] - band * BAND
        redis.call('LPUSH', list, wakeup_of(template, id, band, now))
        redis.call('ZREM', waiting, id)
        redis.call('ZADD', woken, now, id)
        if tag > tonumber(redis.call('HGET', fair, 'v' .. band) or ORIGIN) then
          redis.call('HSET', fair, 'v' .. band, string.format('%.0f', tag))
        end
      end
    end
  end
end

-- Puts one job before all others of its band: its wake-up is the next that Celery pops.
local function push_first(woken, queue, template, id, band, now)
  redis.call('RPUSH', queue .. SUFFIX[band], wakeup_of(template, id, band, now))
  redis.call('ZADD', woken, now, id)
end
