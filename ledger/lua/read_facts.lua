#!lua flags=no-writes
-- The fields of jobs.
--
-- KEYS jobs
-- Returns {now, flat fields of each job...}; no fields: there is no such job
--!include _clock
local out = { now_ms() }
for i = 1, #KEYS do
  local fields = redis.pcall('HGETALL', KEYS[i])
  out[i + 1] = fields.err and {} or fields
end
return out
