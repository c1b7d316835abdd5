#!lua
-- Accepts jobs for one instance, each by itself: idempotency, admission, budget hold at every level
-- or none, ledger entry, place in the order; then their wake-ups. All of a job or nothing of it.
-- What the jobs share is read and written once: one in a hundred costs a quarter of one alone.
--
-- KEYS 1 entry  2 waiting  3 woken  4 fair  5 queue  6 expiring  7 parked
--      then the L budget levels
--      then of each job: job, request
-- ARGV 1 instance  2 max attempts  3 max waiting  4 L  5 count of routes by which it was chosen
--      ('' = any)
--      then of each level: its default, ms that it is kept ('' = for ever)
--      then of each job: id, request JSON, band 0..3, tokens to hold, tenant, agent,
--      session ('' = none), episode ('' = none), timeout ms, other time limits
--      ('' = none), numbers of its levels ('1,2'), the only instance that may run it ('' = any),
--      model asked for ('' = any)
-- Returns for each job 'accepted' | {'exists', instance} | {'conflict'} | {'no_instance'}
--      | {'rerouted'}: its agent has another home by now
--      | {'full', waiting, average run in ms (0 = none known), slots}
--      | {'denied', level, limit, used, held, window or '', now}
--      | {'over', level}: that episode has ended; levels are numbered as in KEYS, from 1
--!include _clock
--!include _order
--!include _levels
local FIELDS, FIRST_LEVEL = 13, 7
local level_count = tonumber(ARGV[4])
local entry = redis.call('HMGET', KEYS[1], 'wakeup', 'slots', 'quiet', 'closed', 'routes', 'rest')
local now = now_ms()
-- Those that wait for an equal job count too, though nothing of this instance keeps them waiting.
local waiting = redis.call('ZCARD', KEYS[2]) + redis.call('ZCOUNT', KEYS[7], now, '+inf')
local levels, seen = {}, {}

local function level(number)
  if not levels[number] then
    levels[number] = read_level(KEYS[FIRST_LEVEL + number], ARGV[4 + 2 * number])
    levels[number].added = 0
  end
  return levels[number]
end

local function known(job, request, id, body)
  local same = seen[id]
  if not same then
    if redis.call('EXISTS', job) == 0 then return end
    same = redis.call('GET', request)
  end
  if same ~= body then return { 'conflict' } end
  return { 'exists', seen[id] and ARGV[1] or redis.call('HGET', job, 'instance') }
end

-- See _routes.lua. A job for this instance alone is taken unless it is drained.
local function rerouted(only)
  if entry[4] then return only == '' or entry[3] == 'drained' end
  return only == '' and ARGV[5] ~= '' and entry[5] and entry[5] ~= ARGV[5]
end

local function refused(numbers, hold, only)
  if not entry[1] then return { 'no_instance' } end
  if rerouted(only) then return { 'rerouted' } end
  if waiting >= tonumber(ARGV[3]) then
    local run_ms = redis.call('HGET', KEYS[1], 'run_ms')
    return { 'full', waiting, tonumber(run_ms or 0), tonumber(entry[2]) }
  end
  for _, number in ipairs(numbers) do
    local l = level(number)
    if l.deadline and l.deadline <= now then return { 'over', number } end
    local limit, used, window = broken_limit(l, hold)
    if limit then return { 'denied', number, limit, used, l.held, window, now } end
  end
end

local answers, accepted, tags, bands = {}, {}, new_tags(KEYS[4]), {}
local first = 6 + 2 * level_count
for at = first, #ARGV, FIELDS do
  local place = (at - first) / FIELDS
  local key = FIRST_LEVEL + level_count + 2 * place + 1
  local id, body, hold, numbers = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 3]), {}
  for number in ARGV[at + 10]:gmatch('%d+') do numbers[#numbers + 1] = tonumber(number) end
  local answer = known(KEYS[key], KEYS[key + 1], id, body) or refused(numbers, hold, ARGV[at + 11])
  if not answer then
    for _, number in ipairs(numbers) do
      local l = level(number)
      l.held, l.added = l.held + hold, l.added + hold
    end
    local band = tonumber(ARGV[at + 2])
    local score = next_score(tags, band, ARGV[at + 4], hold)
    waiting, seen[id], bands[band] = waiting + 1, body, true
    accepted[#accepted + 1] = { at = at, key = key, hold = hold, score = score }
    answer = { ok = 'accepted' }
  end
  answers[place + 1] = answer
end
if #accepted == 0 then return answers end

-- Nothing was written up to here: from here on nothing can be refused.
for _, a in ipairs(accepted) do
  local job, at = KEYS[a.key], a.at
  redis.call('SET', KEYS[a.key + 1], ARGV[at + 1])
  redis.call('HSET', job, 'state', 'queued', 'instance', ARGV[1], 'band', ARGV[at + 2],
    'fence', 0, 'held', a.hold, 'made', 0, 'seq', 0, 'failures', 0, 'attempts', ARGV[2],
    'timeout', ARGV[at + 8], 'submitted', now, 'tenant', ARGV[at + 4], 'agent', ARGV[at + 5])
  if ARGV[at + 6] ~= '' then redis.call('HSET', job, 'session', ARGV[at + 6]) end
  if ARGV[at + 7] ~= '' then redis.call('HSET', job, 'episode', ARGV[at + 7]) end
  if ARGV[at + 9] ~= '' then
    redis.call('HSET', job, 'limits', ARGV[at + 9])
    local queue_ms = ARGV[at + 9]:match('^%d+')
    if queue_ms then redis.call('ZADD', KEYS[6], now + queue_ms, ARGV[at]) end
  end
  if ARGV[at + 11] ~= '' then redis.call('HSET', job, 'only', ARGV[at + 11]) end
  if ARGV[at + 12] ~= '' then redis.call('HSET', job, 'model', ARGV[at + 12]) end
  redis.call('ZADD', KEYS[2], a.score, ARGV[at])
end
write_tags(tags)
for number, l in pairs(levels) do
  if l.added > 0 then add_hold(l, l.added, ARGV[5 + 2 * number]) end
end
if not entry[3] and not entry[6] then
  push_wakeups(KEYS[2], KEYS[3], KEYS[4], KEYS[5], entry[1], tonumber(entry[2]), now, bands)
end
return answers
