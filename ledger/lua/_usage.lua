-- What was spent, by day, tenant, agent and model, for reports.
--
-- A hash for each UTC day and tenant, with three fields for each agent and model: tokens of prompts,
-- tokens of answers, jobs. Its key is derived from a declared prefix, because only Redis knows the
-- day. tenants: when each tenant last spent something, as a day.
-- to: keys (prefix), tenants, model, keep_ms. job: tenant, agent, prompt, made (tokens), now.
local function note_usage(to, job)
  local day = math.floor(job.now / 86400000)
  local key = to.keys .. day .. ':' .. job.tenant
  local who = '\31' .. job.agent .. '\31' .. to.model
  redis.call('HINCRBY', key, 'prompt' .. who, job.prompt)
  redis.call('HINCRBY', key, 'completion' .. who, job.made)
  if redis.call('HINCRBY', key, 'jobs' .. who, 1) == 1 then
    redis.call('PEXPIRE', key, to.keep_ms)
    redis.call('ZADD', to.tenants, day, job.tenant)
    redis.call('ZREMRANGEBYSCORE', to.tenants, '-inf', day - to.keep_ms / 86400000)
  end
end
