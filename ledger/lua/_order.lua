-- The order in which an instance's waiting jobs are served.
--
-- score = band * 2^50 + tag. Bands 0..3 are URGENT, HIGH, NORMAL, LOW. The tag is a start tag of
-- start-time fair queueing (Goyal, Vin, Cheng 1996), in held tokens, per band and tenant: a tenant
-- that sent many jobs queues behind its own jobs, not in front of everybody else's. A tenant that
-- was idle may go ahead by BURST jobs' worth.
--
-- fair: for each band 'v' (virtual time: the largest tag that was served) and for each band and
-- tenant 'f' (where its next job begins); 'most': see drop_tags. Tags begin at ORIGIN, which leaves
-- room for the burst.
local BAND = 2 ^ 50
local ORIGIN = 2 ^ 40
local EARLY = 2 ^ 39
local BURST = 4
local BANDS = 4
local MOST_TAGS = 10000
local SUFFIX = { [0] = '', '\6\0223', '\6\0226', '\6\0229' }

-- An instance's tags, read as they are needed and written together.
local function new_tags(fair) return { fair = fair, virtual = {}, finish = {} } end

-- An instance that is never idle sees ever more tenants. Lets go of the tags that are not ahead of
-- the virtual time: their tenants are as good as new. The next look is at twice what is left.
local function drop_tags(fair)
  local count = redis.call('HLEN', fair)
  if count <= MOST_TAGS or count <= tonumber(redis.call('HGET', fair, 'most') or 0) then return end
  local virtual = redis.call('HMGET', fair, 'v0', 'v1', 'v2', 'v3')
  local flat = redis.call('HGETALL', fair)
  for i = 1, #flat, 2 do
    local band = flat[i]:match('^f(%d):')
    if band and tonumber(flat[i + 1]) <= tonumber(virtual[band + 1] or 0) then
      redis.call('HDEL', fair, flat[i])
    end
  end
  redis.call('HSET', fair, 'most', 2 * redis.call('HLEN', fair))
end

local function write_tags(tags)
  for field, tag in pairs(tags.finish) do
    redis.call('HSET', tags.fair, field, string.format('%.0f', tag))
  end
  drop_tags(tags.fair)
end

-- The score of the tenant's next job of this cost, which moves the tenant's tag on.
local function next_score(tags, band, tenant, cost)
  local field = 'f' .. band .. ':' .. tenant
  if not tags.finish[field] then
    local t = redis.call('HMGET', tags.fair, 'v' .. band, field)
    tags.virtual[band], tags.finish[field] = tonumber(t[1] or ORIGIN), tonumber(t[2] or 0)
  end
  local start = math.max(tags.finish[field], tags.virtual[band] - BURST * cost, 0)
  tags.finish[field] = start + cost
  return string.format('%.0f', band * BAND + start)
end

-- A score before all shares of its band, and behind the scores given so before: for jobs that were
-- first in their order elsewhere.
local function early_score(fair, band)
  return string.format('%.0f', band * BAND + EARLY + redis.call('HINCRBY', fair, 'early', 1))
end

-- text with every mark replaced. A plain search: a pattern is tried at each of the 700 bytes.
local function fill(text, mark, value)
  local parts, at = {}, 1
  while true do
    local first, last = text:find(mark, at, true)
    if not first then break end
    parts[#parts + 1] = text:sub(at, first - 1)
    parts[#parts + 1] = value
    at = last + 1
  end
  parts[#parts + 1] = text:sub(at)
  return table.concat(parts)
end

-- The envelope of one wake-up. template: as kombu writes it, with the id, the delivery tag and the
-- priority left open.
local function wakeup_of(template, id, band, now)
  local message = fill(fill(template, '@@ID@@', id), '@@TAG@@', id .. '.' .. now)
  return fill(message, '"@@PRIORITY@@"', band * 3)
end

-- Tops up Celery's lists with wake-ups of the best waiting jobs: slots + 1 per band, so the best
-- URGENT one is always among them. bands: those to look at; nil: all.
local function push_wakeups(waiting, woken, fair, queue, template, slots, now, bands)
  if redis.call('ZCARD', waiting) == 0 then
    -- Nobody waits, nobody is about to run: all shares are even again.
    if redis.call('ZCARD', woken) == 0 then redis.call('DEL', fair) end
    return
  end
  for band = 0, BANDS - 1 do
    local list = queue .. SUFFIX[band]
    local room = (not bands or bands[band]) and slots + 1 - redis.call('LLEN', list) or 0
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
