#!lua
-- Sets limits of a budget level, or takes back all that were set. Tokens stay counted.
--
-- KEYS 1 level  2 the list of levels that have such limits (only for those that stay)
-- ARGV 1 the level's name in that list  2 ms that the level is kept ('' = for ever)
--      3.. limits: total, month, day, hour ('' = leave it); none at all: take all back
-- Returns 1
--!include _clock
--!include _levels
local level = read_level(KEYS[1], '')
if #ARGV == 2 then
  redis.call('HDEL', KEYS[1], 'limit', 'limit:month', 'limit:day', 'limit:hour')
  if redis.call('HEXISTS', KEYS[1], 'held') == 0 then redis.call('HDEL', KEYS[1], 'windows') end
  if KEYS[2] then redis.call('SREM', KEYS[2], ARGV[1]) end
  return 1
end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'limit', ARGV[3]) end
local names = level.counted or ''
for number, name in ipairs(WINDOWS) do
  if ARGV[3 + number] ~= '' then
    redis.call('HSET', KEYS[1], 'limit:' .. name, ARGV[3 + number])
    names = names .. ' ' .. name
  end
end
read_windows(level, names, false, '')
count_windows(level)
if KEYS[2] then redis.call('SADD', KEYS[2], ARGV[1]) end
if ARGV[2] ~= '' and level.held == 0 then expire(level, ARGV[2]) end
return 1
