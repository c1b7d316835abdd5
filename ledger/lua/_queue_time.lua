-- The time that a job may wait in the queue goes on where it was claimed and has made nothing: a claim
-- takes it out of the zset `expiring`, of which whoever reconciles knows that it has waited too long.
-- It is needed where such a job waits again.

-- Until when the job may wait, ms; nil: as long as it takes.
local function longest_wait(job)
  local w = redis.call('HMGET', job, 'limits', 'submitted', 'made', 'prompt')
  local queue_ms = w[1] and w[1]:match('^%d+')
  if queue_ms and w[3] == '0' and not w[4] then return w[2] + queue_ms end
end

local function go_on_waiting(job, expiring, id)
  local until_when = longest_wait(job)
  if until_when then redis.call('ZADD', expiring, string.format('%.0f', until_when), id) end
end
