#!lua flags=allow-oom
-- Asks, for a job that has just been claimed, whether it has to run: an equal one may have left its
-- answer, or run at this moment. Otherwise it is the one that equal ones wait for.
--
-- Nobody waits for one whose turn may never come, or that may have become another request's equal:
-- it is waited for while it runs where it was when it said so, or is to run again before this one.
--
-- KEYS 1 answer  2 run  3 parked  4 prefix of jobs
-- ARGV 1 id  2 instance  3 ttl ms of the note that it runs
-- Returns {'kept', record, event} | {'wait'}: it is noted among those to be woken | {'run'}
local kept = redis.pcall('HMGET', KEYS[1], 'record', 'event')  -- a damaged one is none
if kept[1] then return { 'kept', kept[1], kept[2] } end
local note = redis.call('GET', KEYS[2])
if note == '' then return { 'run' } end  -- see cache_end.lua
local other, place = (note or ''):match('^(%S+) (.+)$')
if other and other ~= ARGV[1] then
  local h = redis.pcall('HMGET', KEYS[4] .. other, 'state', 'instance')
  local is_there = h[2] == place
  if is_there and (h[1] == 'running' or h[1] == 'queued' and place == ARGV[2]) then
    redis.call('SADD', KEYS[3], ARGV[2] .. ' ' .. ARGV[1])
    redis.call('PEXPIRE', KEYS[3], ARGV[3])
    return { 'wait' }
  end
end
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return { 'run' }
