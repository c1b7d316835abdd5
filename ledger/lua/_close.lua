-- Ends a job for good: its terminal record, the settling of its tokens at every level, and the
-- events that readers and Celery's AsyncResult wait for.
--
-- levels: budget keys. t: state, record, body, meta_channel, meta, ttl_ms, cost (tokens spent).
local function close_job(job, request, stream, result, levels, t)
  local h = redis.call('HMGET', job, 'held', 'seq')
  local seq = tonumber(h[2] or 0) + 1
  for _, level in ipairs(levels) do
    redis.call('HINCRBY', level, 'used', t.cost)
    redis.call('HINCRBY', level, 'held', -h[1])
  end
  redis.call('HSET', job, 'state', t.state, 'held', 0, 'cost', t.cost, 'seq', seq, 'ended', t.now)
  redis.call('SET', result, t.record, 'PX', t.ttl_ms)
  if redis.pcall('XADD', stream, seq .. '-0', 'e', t.body).err then
    redis.call('DEL', stream)  -- damaged: what can still be told is how the job ended
    redis.call('XADD', stream, seq .. '-0', 'e', t.body)
  end
  redis.call('PUBLISH', stream, seq .. ' ' .. t.body)
  redis.call('PUBLISH', t.meta_channel, t.meta)
  redis.call('PEXPIRE', job, t.ttl_ms)
  redis.call('PEXPIRE', request, t.ttl_ms)
  redis.call('PEXPIRE', stream, t.ttl_ms)
end

local function tail(list, first)
  local rest = {}
  for i = first, #list do rest[#rest + 1] = list[i] end
  return rest
end
