#!lua flags=allow-oom
-- Gives waiting jobs to another instance, in the order given; or back to their own as waiting ones,
-- their wake-ups undone. A job that was taken, ended or moved meanwhile is left alone.
--
-- KEYS 1 waiting  2 woken  3 held back  4 queue: of the instance that has them
--      5 entry  6 waiting  7 woken  8 fair  9 queue: of the one that gets them  10.. jobs
-- ARGV 1 the one that has them  2 the one that gets them
--      3 'share': behind their tenants' jobs there; 'first': before all jobs of their band  4.. ids
-- Returns how many were moved
--!include _clock
--!include _order
--!include _topping_up
local tags, woken, bands, moved = new_tags(KEYS[8]), {}, {}, 0

local function score_of(band, tenant, cost)
  if ARGV[3] == 'share' then return next_score(tags, band, tenant, cost) end
  return early_score(KEYS[8], band)
end

for i = 4, #ARGV do
  local id, job = ARGV[i], KEYS[i + 6]
  local h = redis.pcall('HMGET', job, 'state', 'instance', 'band', 'tenant', 'held')
  local band = tonumber(h[3])
  if h[1] == 'queued' and h[2] == ARGV[1] and SUFFIX[band] and h[4] and tonumber(h[5]) then
    redis.call('ZREM', KEYS[1], id)
    if redis.call('ZREM', KEYS[2], id) == 1 then woken[#woken + 1] = id end
    redis.call('ZREM', KEYS[3], id)
    redis.call('HSET', job, 'instance', ARGV[2])
    redis.call('ZADD', KEYS[6], score_of(band, h[4], tonumber(h[5])), id)
    moved, bands[band] = moved + 1, true
  end
end
if moved == 0 then return 0 end

if #woken > 0 then
  for band = 0, BANDS - 1 do
    for _, message in ipairs(redis.call('LRANGE', KEYS[4] .. SUFFIX[band], 0, -1)) do
      for _, id in ipairs(woken) do
        if message:find('"' .. id .. '"', 1, true) then
          redis.call('LREM', KEYS[4] .. SUFFIX[band], 1, message)
          break
        end
      end
    end
  end
end
write_tags(tags)
top_up(KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], now_ms(), bands)
return moved
