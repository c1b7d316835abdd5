#!lua flags=allow-oom
-- Sets what a running job holds, once the prompt was counted by the model's own tokenizer:
-- up to the wanted amount as far as every level has room, never below the least that is useful.
--
-- KEYS 1 job  2.. budget levels
-- ARGV 1 fence  2 wanted  3 least  4.. default of each level
-- Returns {'held', tokens} | {'fenced'}
--      | {'denied', level 1.., limit, used, held by others, window or '', now}
--!include _clock
--!include _levels
local h = redis.call('HMGET', KEYS[1], 'fence', 'state', 'held')
if h[1] ~= ARGV[1] or h[2] ~= 'running' then return { 'fenced' } end
local had, grant, levels = tonumber(h[3]), tonumber(ARGV[2]), {}
for i = 2, #KEYS do
  local level = read_level(KEYS[i], ARGV[i + 2])
  level.held = level.held - had
  local limit, used, window = broken_limit(level, tonumber(ARGV[3]))
  if limit then return { 'denied', i - 1, limit, used, level.held, window, now_ms() } end
  grant = math.min(grant, room_of(level))
  levels[i - 1] = level
end
for _, level in ipairs(levels) do add_hold(level, grant - had, '') end
redis.call('HSET', KEYS[1], 'held', grant)
return { 'held', grant }
