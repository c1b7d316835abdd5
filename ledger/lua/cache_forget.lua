#!lua flags=allow-oom
-- Looks through some of the cached answers and removes a tenant's, or those of one of its sessions.
--
-- KEYS 1 cached  2 bytes of what is cached
-- ARGV 1 cursor  2 how many  3 how the keys of the tenant's answers begin
--      4 agent  5 session ('' = all of the tenant)
-- Returns {next cursor, how many were removed}
--!include _clock
--!include _kept
let_go_of_old(KEYS[1], KEYS[2], now_ms())
local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local removed = 0
for i = 1, #page[2], 2 do
  local key = page[2][i]
  if key:sub(1, #ARGV[3]) == ARGV[3] then
    local whose = redis.call('HMGET', key, 'agent', 'session')
    if whose[1] and (ARGV[5] == '' or whose[1] == ARGV[4] and whose[2] == ARGV[5]) then
      let_go(KEYS[1], KEYS[2], key)
      removed = removed + 1
    end
  end
end
return { page[1], removed }
