#!lua flags=no-writes
-- Looks through some of all keys for jobs that have ended.
--
-- KEYS 1 prefix of jobs
-- ARGV 1 cursor  2 how many keys  3 tenant  4 instance ('' = any)  5.. states
-- Returns {next cursor, ids...}
local wanted, found = {}, {}
for i = 5, #ARGV do wanted[ARGV[i]] = true end
local page = redis.call('SCAN', ARGV[1], 'MATCH', KEYS[1] .. '*', 'COUNT', ARGV[2])
for _, name in ipairs(page[2]) do
  local h = redis.pcall('HMGET', name, 'state', 'tenant', 'instance')
  if wanted[h[1]] and (ARGV[3] == '' or h[2] == ARGV[3]) and (ARGV[4] == '' or h[3] == ARGV[4]) then
    found[#found + 1] = name:sub(#KEYS[1] + 1)
  end
end
return { page[1], unpack(found) }
