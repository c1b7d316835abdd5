-- Where an instance has several slots, a turn of a session waits for the turn before it.

-- Whether a job of the session runs, of this band or a better one, under a lease that has not run
-- out. prefix: of the keys of jobs.
local function session_runs(running, prefix, session, band, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', running, now, '+inf')) do
    local h = redis.pcall('HMGET', prefix .. id, 'tenant', 'agent', 'session', 'band')
    if h[1] == session.tenant and h[2] == session.agent and h[3] == session.id
        and (tonumber(h[4]) or 0) <= band then
      return true
    end
  end
  return false
end
