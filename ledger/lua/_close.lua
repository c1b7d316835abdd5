-- Ends a job for good: its terminal record, the settling of its tokens at every level, what reports
-- say of it, and the events that readers and Celery's AsyncResult wait for.
--
-- levels: budget keys. t: of the job: held, seq, tenant, agent, as its hash has them; prompt, made:
-- tokens that it spent; how it ends: state, record, body, meta_channel, meta, ttl_ms, now;
-- usage: keys, tenants, model and keep_ms as _usage.lua takes them, or nil.
local function close_job(job, request, stream, result, levels, t)
  local seq, cost, accounts = (t.seq or 0) + 1, t.prompt + t.made, {}
  for i, key in ipairs(levels) do accounts[i] = read_level(key, '') end
  for _, level in ipairs(accounts) do settle(level, cost, t.held) end
  if t.usage and t.tenant and t.agent then note_usage(t.usage, t) end
  redis.call('HSET', job, 'state', t.state, 'held', 0, 'cost', cost, 'seq', seq, 'ended', t.now)
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
