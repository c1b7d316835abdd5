-- The episode that a job belongs to.
--
-- prefix: of all episodes' budget levels. Key and quoting are those of ledger/keys.py.
local function episode_deadline(prefix, tenant, episode)
  local function quoted(part) return (part:gsub('%%', '%%25'):gsub(':', '%%3A')) end
  local key = prefix .. ':' .. quoted(tenant) .. ':' .. quoted(episode)
  return tonumber(redis.call('HGET', key, 'deadline') or 0)
end
