-- What is known of an episode: {limit or '', used, held, spent, opened, deadline, last progress or 0,
-- its kind, its facts}; spent: tokens that its jobs have made or read, those that run included.
-- nil: there is none.
local function episode_facts(level)
  local h = redis.call('HMGET', level, 'limit', 'used', 'held', 'spent', 'opened', 'deadline',
    'progress', 'progress_kind', 'progress_facts')
  if not h[6] then return nil end
  return { h[1] or '', tonumber(h[2] or 0), tonumber(h[3] or 0), tonumber(h[4] or 0),
    tonumber(h[5] or 0), tonumber(h[6]), tonumber(h[7] or 0), h[8] or '', h[9] or '' }
end
