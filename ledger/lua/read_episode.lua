#!lua flags=no-writes
-- How an episode stands.
--
-- KEYS 1 the episode's budget level
-- Returns {now, facts as _episode_facts.lua has them} | nil: there is no such episode
--!include _clock
--!include _episode_facts
local facts = episode_facts(KEYS[1])
return facts and { now_ms(), facts }
