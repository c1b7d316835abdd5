-- Which instances agents are routed to.
--
-- Fields of an instance's entry that say so:
--   closed   it takes no jobs, because its agents are served elsewhere: 'absent', 'drained', or
--            'joining': it is new or back, and jobs that belong to it wait elsewhere
--   quiet    its waiting jobs are not woken: 'drained', or 'settling': jobs that belong to it are
--            being brought, which come before those that it got meanwhile
--   rest     nor are they while this is there: until when its provider takes no more requests, ms.
--            mend.lua takes it away, and nothing else
--   retiring it is drained, has no worker any more, and is forgotten once it has no jobs: whoever
--            reconciles asks retire.lua again. A worker that comes, or a resume, takes it away
--   routes   how often agents were given another home. A submit by an older count is refused, or an
--            agent's next job could be sent home while the one before it goes to the stand-in.

-- Counts on, in every instance's entry. entries: prefix of their keys.
local function change_routes(routes, instances, entries)
  local count = redis.call('INCR', routes)
  for _, name in ipairs(redis.call('HKEYS', instances)) do
    redis.pcall('HSET', entries .. name, 'routes', count)  -- one may be damaged
  end
end
