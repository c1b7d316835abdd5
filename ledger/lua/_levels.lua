-- Budget levels: one hash each, in which the tokens of jobs are held and charged.
--
--   limit, used, held         tokens: a limit that was set, what was spent, what jobs hold that have
--                             not ended
--   windows                   the windows of time that are counted too, such as 'day hour'
--   limit:day, used:day, at:day   the same of a window; `at` says which day `used` belongs to: on
--                             another one it is 0. What is held counts in every window.
--   keep                      ms that the hash outlives its last hold; without it, it stays
--
-- A level's default, of the settings: '' | '1000' | '1000:month:day:hour', each of which may be
-- empty. A limit that was set beats its default.
-- Needs _clock.
local WINDOWS = { 'month', 'day', 'hour' }  -- the longest first: it is what a denied caller waits for
local DAY_MS = 86400000

-- The number of the window that now lies in, as ledger/windows.py counts. The month comes from the
-- day by civil_from_days (Hinnant, "chrono-Compatible Low-Level Date Algorithms"), whose years
-- begin in March and whose eras are 400 years.
local function window_index(name, now)
  if name == 'hour' then return math.floor(now / 3600000) end
  local days = math.floor(now / DAY_MS)
  if name == 'day' then return days end
  local since = days + 719468
  local era = math.floor(since / 146097)
  local of_era = since % 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
    - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153) + 3
  if month > 12 then month, year = month - 12, year + 1 end
  return (era * 400 + year) * 100 + month
end

-- names: of the windows to read, beside those that have a default.
local function read_windows(level, names, set, default)
  local total, month, day, hour = default:match('^(%d*):(%d*):(%d*):(%d*)$')
  local defaults = { month = month or '', day = day or '', hour = hour or '' }
  level.limit, level.windows = tonumber(set or total or default), {}
  for _, name in ipairs(WINDOWS) do
    if defaults[name] ~= '' or names:find(name, 1, true) then
      local h = redis.call('HMGET', level.key, 'limit:' .. name, 'used:' .. name, 'at:' .. name)
      local at = window_index(name, now_ms())
      level.windows[#level.windows + 1] = { name = name, at = at,
        limit = tonumber(h[1] or defaults[name]), used = tonumber(h[3]) == at and h[2] + 0 or 0 }
    end
  end
end

-- A level as it is now; `windows` is nil where none is counted.
local function read_level(key, default)
  local h = redis.call('HMGET', key, 'limit', 'used', 'held', 'windows', 'keep', 'deadline')
  local total = tonumber(default)
  local level = { key = key, limit = h[1] and tonumber(h[1]) or total, used = (h[2] or 0) + 0,
    held = (h[3] or 0) + 0, counted = h[4], keep = h[5], deadline = h[6] and tonumber(h[6]) }
  if h[4] or not total and default ~= '' then read_windows(level, h[4] or '', h[1], default) end
  return level
end

-- The limit that so many tokens more would break: limit, used, window ('' = the total); or nil.
local function broken_limit(level, tokens)
  tokens = tokens + level.held
  if level.limit and level.used + tokens > level.limit then return level.limit, level.used, '' end
  if not level.windows then return nil end
  for _, window in ipairs(level.windows) do
    if window.limit and window.used + tokens > window.limit then
      return window.limit, window.used, window.name
    end
  end
end

-- The tokens that every limit of the level still has room for.
local function room_of(level)
  local room = level.limit and level.limit - level.used or math.huge
  for _, window in ipairs(level.windows or {}) do
    if window.limit then room = math.min(room, window.limit - window.used) end
  end
  return room - level.held
end

-- Writes down which windows are counted from now on.
local function count_windows(level)
  local names = {}
  for _, window in ipairs(level.windows) do names[#names + 1] = window.name end
  local counted = table.concat(names, ' ')
  if counted ~= level.counted then redis.call('HSET', level.key, 'windows', counted) end
end

-- Holds tokens for jobs that were accepted. keep: ms ('' = for ever).
local function add_hold(level, tokens, keep)
  if level.windows then count_windows(level) end
  if redis.call('HINCRBY', level.key, 'held', tokens) == tokens and keep ~= '' then
    redis.call('HSET', level.key, 'keep', keep)
    redis.call('PERSIST', level.key)
  end
end

-- Lets an idle level go after `keep` ms. An episode's own has a deadline, which progress may move up
-- to its cap.
local function expire(level, keep)
  local cap = redis.call('HGET', level.key, 'cap') or 0
  redis.call('PEXPIRE', level.key, string.format('%.0f', math.max(keep, cap - now_ms())))
end

-- Charges what a job has cost and lets go of what it held: in the windows of this moment.
local function settle(level, cost, hold)
  local held = level.held - hold
  redis.call('HSET', level.key, 'used', level.used + cost, 'held', held)
  if level.windows then
    for _, window in ipairs(level.windows) do
      redis.call('HSET', level.key, 'used:' .. window.name, window.used + cost,
        'at:' .. window.name, window.at)
    end
  end
  if level.keep and held <= 0 then expire(level, level.keep) end
end
