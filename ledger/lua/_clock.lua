-- Redis' own time, ms: one moment for the whole script, and asked for only where it is needed.
local this_moment, its_microseconds
local function now_ms()
  if not this_moment then
    local t = redis.call('TIME')
    this_moment, its_microseconds = t[1] * 1000 + math.floor(t[2] / 1000), t[2] % 1000
  end
  return this_moment
end

-- The same as text, and to the microsecond: no two scripts have the same.
local function now_exactly()
  return string.format('%.0f.%03d', now_ms(), its_microseconds)
end
