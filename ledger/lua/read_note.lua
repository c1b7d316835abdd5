#!lua flags=allow-oom
-- Reads a note, and pushes the wake-ups for which its own took the room.
--
-- KEYS 1 note  2 entry  3 waiting  4 woken  5 fair  6 queue
-- Returns the note | '' (there is none)
--!include _clock
--!include _order
--!include _topping_up
local note = redis.call('GET', KEYS[1])
top_up(KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], now_ms())
return note or ''
