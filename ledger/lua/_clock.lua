-- Redis' own time, ms: one moment for the whole script, and asked for only where it is needed.
local this_moment
local function now_ms()
  if not this_moment then
    local t = redis.call('TIME')
    this_moment = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return this_moment
end
