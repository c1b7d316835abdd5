-- The order in which an instance's waiting jobs are served.
--
-- score = band * 2^50 + tag. Bands 0..3 are URGENT, HIGH, NORMAL, LOW. The tag is a start tag of
-- start-time fair queueing (Goyal, Vin, Cheng 1996), in held tokens, per band and tenant: a tenant
-- that sent many jobs queues behind its own jobs, not in front of everybody else's. A tenant that
-- was idle may go ahead by BURST jobs' worth. Tag 0 is the head of the band.
local BAND = 2 ^ 50
local BURST = 4
local BANDS = 4
local SUFFIX = { [0] = '', '\6\0223', '\6\0226', '\6\0229' }

local function enqueue_fairly(waiting, fair, id, band, tenant, cost)
  local t = redis.call('HMGET', fair, 'v' .. band, 'f' .. band .. ':' .. tenant)
  local start = math.max(tonumber(t[2] or 1), tonumber(t[1] or 1) - BURST * cost, 1)
  redis.call('HSET', fair, 'f' .. band .. ':' .. tenant, string.format('%.0f', start + cost))
  redis.call('ZADD', waiting, string.format('%.0f', band * BAND + start), id)
end

local function enqueue_first(waiting, id, band)
  redis.call('ZADD', waiting, string.format('%.0f', band * BAND), id)
end

-- Tops up Celery's lists with wake-ups of the best waiting jobs: slots + 1 per band, so the best
-- URGENT one is always among them. template: the envelope as kombu writes it, with the id, the
-- delivery tag and the priority left open.
local function push_wakeups(waiting, woken, fair, queue, template, slots, now)
  if redis.call('ZCARD', waiting) == 0 then return end
  for band = 0, BANDS - 1 do
    local list = queue .. SUFFIX[band]
    local room = slots + 1 - redis.call('LLEN', list)
    if room > 0 then
      local best = redis.call('ZRANGE', waiting, string.format('%.0f', band * BAND),
        string.format('(%.0f', (band + 1) * BAND), 'BYSCORE', 'LIMIT', 0, room, 'WITHSCORES')
      for i = 1, #best, 2 do
        local id = best[i]
        local message = template:gsub('@@ID@@', id):gsub('@@TAG@@', id .. '.' .. now)
          :gsub('"@@PRIORITY@@"', band * 3)
        redis.call('LPUSH', list, (message))
        redis.call('ZREM', waiting, id)
        redis.call('ZADD', woken, now, id)
        redis.call('HSET', fair, 'v' .. band, string.format('%.0f', best[i + 1] - band * BAND))
      end
    end
  end
  if redis.call('ZCARD', waiting) == 0 then redis.call('DEL', fair) end
end
