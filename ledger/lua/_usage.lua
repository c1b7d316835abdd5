-- What was spent, by day, tenant, agent and model, for reports.
--
-- A hash for each UTC day and tenant, with three fields for each agent and model: tokens of prompts,
-- tokens of answers, jobs. Its key is derived from a declared prefix, because only Redis knows the
-- day. tenants: when each tenant last spent something, as a day.
-- t: keys (prefix), tenants, tenant, agent, model, prompt, made (tokens), keep_ms, now.
local function note_usage(t)
  local day = math.floor(t.now / 86400000)
  local key = t.keys .. day .. ':' .. t.tenant
  local who = '\31' .. t.agent .. '\31' .. t.model
  redis.call('HINCRBY', key, 'prompt' .. who, t.prompt)
  redis.call('HINCRBY', key, 'completion' .. who, t.made)
  if redis.call('HINCRBY', key, 'jobs' .. who, 1) == 1 then
    redis.call('PEXPIRE', key, t.keep_ms)
    redis.call('ZADD', t.tenants, day, t.tenant)
    redis.call('ZREMRANGEBYSCORE', t.tenants, '-inf', day - t.keep_ms / 86400000)
  end
end
