#!lua flags=no-writes
-- Jobs that wait for an instance, in the order in which it would serve them, and where they may go.
--
-- KEYS 1 waiting  2 woken  3 held back  4 queue  5 prefix of jobs
-- ARGV 1 id after which to go on ('' = from the beginning: those whose wake-up is under way, and
--      those held back for their session, come first)  2 how many of the waiting ones
-- Returns {last id of the waiting ones or '', how many of the following come first,
--      {id, agent ('' = damaged), only instance or '', model or ''}...}
--!include _order
local ids, seen = {}, {}

local function add(id)
  if not seen[id] then ids[#ids + 1], seen[id] = id, true end
end

-- Those whose wake-up was popped and who were not claimed are before all others, in the order in which
-- that was; then as Celery pops.
local function add_woken()
  local woken, listed = redis.call('ZRANGE', KEYS[2], 0, -1), {}
  if #woken == 0 then return end
  for band = 0, BANDS - 1 do
    local list = redis.call('LRANGE', KEYS[4] .. SUFFIX[band], 0, -1)
    for i = #list, 1, -1 do listed[#listed + 1] = list[i] end
  end
  local place, since = {}, {}
  for number, id in ipairs(woken) do
    place[id], since[id] = 0, number
    for i, message in ipairs(listed) do
      if message:find('"' .. id .. '"', 1, true) then place[id] = i break end
    end
  end
  table.sort(woken, function(a, b)
    if place[a] ~= place[b] then return place[a] < place[b] end
    return since[a] < since[b]
  end)
  for _, id in ipairs(woken) do add(id) end
end

local first = 0
if ARGV[1] == '' then
  add_woken()
  for _, id in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do add(id) end
else
  -- By rank, and the job itself may have been taken: then from the beginning once more.
  first = (redis.call('ZRANK', KEYS[1], ARGV[1]) or -1) + 1
end
local before = #ids
local waiting = redis.call('ZRANGE', KEYS[1], first, first + ARGV[2] - 1)
for _, id in ipairs(waiting) do add(id) end

local reply = { waiting[#waiting] or '', before }
for _, id in ipairs(ids) do
  local h = redis.pcall('HMGET', KEYS[5] .. id, 'agent', 'only', 'model')
  reply[#reply + 1] = { id, h[1] or '', h[2] or '', h[3] or '' }
end
return reply
