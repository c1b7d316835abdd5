#!lua flags=allow-oom
-- What the model is to read before a running job's own request. The first attempt's look decides:
-- turns that came later are not read, so that an answer is gone on from in its own context.
--
-- KEYS 1 session  2 job
-- ARGV 1 fence
-- Returns {'recalled', system messages or '', {turn...} oldest first} | {'fenced'}
--!include _turns
local j = redis.call('HMGET', KEYS[2], 'fence', 'state', 'turns')
if j[1] ~= ARGV[1] or j[2] ~= 'running' then return { 'fenced' } end
local s = redis.call('HMGET', KEYS[1], 'first', 'next', 'system')
local last = tonumber(j[3] or s[2] or 0)
if not j[3] then redis.call('HSET', KEYS[2], 'turns', last) end
return { 'recalled', s[3] or '', turns_of(KEYS[1], tonumber(s[1] or last), last) }
