#!lua flags=no-writes
-- Looks through some of all keys for what belongs to a tenant or to one of its sessions.
--
-- KEYS 1 prefix of all keys  2 prefix of jobs
-- ARGV 1 cursor  2 how many keys  3 tenant  4 agent  5 session ('' = all of the tenant)
--      6.. how the names of further keys begin
-- Returns {next cursor, {job id, state...}, {other key...}}
local page = redis.call('SCAN', ARGV[1], 'MATCH', KEYS[1] .. '*', 'COUNT', ARGV[2])
local jobs, others = {}, {}

local function begins(name, prefix) return name:sub(1, #prefix) == prefix end

for _, name in ipairs(page[2]) do
  if begins(name, KEYS[2]) then
    local h = redis.pcall('HMGET', name, 'tenant', 'agent', 'session', 'state')
    if h[1] == ARGV[3] and (ARGV[5] == '' or h[2] == ARGV[4] and h[3] == ARGV[5]) then
      jobs[#jobs + 1] = name:sub(#KEYS[2] + 1)
      jobs[#jobs + 1] = h[4] or ''
    end
  end
  for i = 6, #ARGV do
    if begins(name, ARGV[i]) then others[#others + 1] = name end
  end
end
return { page[1], jobs, others }
