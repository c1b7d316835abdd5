#!lua
-- Sets what a running job holds, once the prompt was counted by the model's own tokenizer:
-- up to the wanted amount as far as every level has room, never below the least that is useful.
--
-- KEYS 1 job  2.. budget levels
-- ARGV 1 fence  2 wanted  3 least  4.. default limit of each level ('' = none)
-- Returns {'held', tokens} | {'fenced'} | {'denied', level 1.., limit, used, held}
local h = redis.call('HMGET', KEYS[1], 'fence', 'state', 'held')
if h[1] ~= ARGV[1] or h[2] ~= 'running' then return { 'fenced' } end
local had, grant = tonumber(h[3]), tonumber(ARGV[2])
for i = 2, #KEYS do
  local b = redis.call('HMGET', KEYS[i], 'limit', 'used', 'held')
  local limit = tonumber(b[1] or ARGV[i + 2])
  local used, held = tonumber(b[2] or 0), tonumber(b[3] or 0)
  if limit then
    local room = limit - used - (held - had)
    if room < tonumber(ARGV[3]) then return { 'denied', i - 1, limit, used, held } end
    grant = math.min(grant, room)
  end
end
for i = 2, #KEYS do redis.call('HINCRBY', KEYS[i], 'held', grant - had) end
redis.call('HSET', KEYS[1], 'held', grant)
return { 'held', grant }
