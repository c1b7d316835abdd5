-- Where progress at this moment moves an episode's deadline: while less than the extension is left
-- it moves on, never past the cap. Progress is tokens that were made, or what the caller reports.
local function moved_deadline(deadline, cap, now, extend)
  if deadline <= now or deadline - now >= extend then return deadline end
  return math.max(deadline, math.min(now + extend, cap))
end
