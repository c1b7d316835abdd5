#!lua flags=allow-oom
-- Removes keys, less the budget levels that hold tokens of jobs that have not ended.
--
-- KEYS turns of sessions, budget levels, and the like
-- Returns how many were removed
local removed = 0
for _, key in ipairs(KEYS) do
  local held = redis.pcall('HGET', key, 'held')
  if type(held) ~= 'string' or (tonumber(held) or 0) <= 0 then
    removed = removed + redis.call('UNLINK', key)
  end
end
return removed
