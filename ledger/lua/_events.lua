-- Appends one event to a job's stream and announces it. The entry's id is the event's seq,
-- so a cursor is a number and a gap in what was announced can be seen.
-- body: the event as JSON, made by the caller.
local function append_event(stream, seq, body)
  redis.call('XADD', stream, seq .. '-0', 'e', body)
  redis.call('PUBLISH', stream, seq .. ' ' .. body)
end
