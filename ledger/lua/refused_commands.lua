#!lua flags=no-writes
-- Which commands the user who asks may not send. None of them is carried out.
--
-- KEYS none
-- ARGV 1.. a command each, its words as a JSON list
-- Returns those refused, as they came
local refused = {}
for _, words in ipairs(ARGV) do
  if not redis.acl_check_cmd(unpack(cjson.decode(words))) then refused[#refused + 1] = words end
end
return refused
