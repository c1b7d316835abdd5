-- What a session remembers. The hash has each turn under its number, without gaps: `first` is the
-- oldest one's, `next` that of the next to come; `bytes` is their size, `system` the system
-- messages. Numbers begin at the time of the first turn, so that those of a session that was
-- cleared never come again.

local MOST_TURNS = 1000

-- The turns from number first to before number last.
local function turns_of(session, first, last)
  assert(last - first <= MOST_TURNS)
  local turns = {}
  for number = first, last - 1 do
    turns[#turns + 1] = redis.call('HGET', session, number) or ''
  end
  return turns
end

-- Adds a turn, and lets go of the oldest ones that are above the caps. A session that is damaged
-- begins anew with it.
local function add_turn(session, turn, system, most, most_bytes, ttl_ms, now)
  local h = redis.pcall('HMGET', session, 'first', 'next', 'bytes', 'system')
  local first, number, bytes = tonumber(h[1]), tonumber(h[2]), tonumber(h[3])
  if not (bytes and number and first) or number - first > MOST_TURNS then
    redis.call('DEL', session)
    first, number, bytes = now, now, 0
  end
  if system == '' then system = h[4] or '' end
  if #system > most_bytes then system = '' end
  redis.call('HSET', session, number, turn)
  bytes = bytes + #turn
  while first <= number and (number - first >= most or bytes + #system > most_bytes) do
    bytes = bytes - redis.call('HSTRLEN', session, first)
    redis.call('HDEL', session, first)
    first = first + 1
  end
  redis.call('HSET', session, 'first', first, 'next', number + 1, 'bytes', bytes, 'system', system)
  redis.call('PEXPIRE', session, ttl_ms)
end
