#!lua flags=allow-oom
-- Reads a note, and pushes the wake-ups for which its own took the room.
--
-- KEYS 1 note  2 entry  3 waiting  4 woken  5 fair  6 queue
-- Returns the note | '' (there is none)
--!include _clock
--!include _order
local note = redis.call('GET', KEYS[1])
local entry = redis.call('HMGET', KEYS[2], 'wakeup', 'slots', 'quiet', 'rest')
if entry[1] and not entry[3] and not entry[4] then
  push_wakeups(KEYS[3], KEYS[4], KEYS[5], KEYS[6], entry[1], tonumber(entry[2]), now_ms())
end
return note or ''
