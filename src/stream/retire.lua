--[[ Removes consumers that own nothing and were not seen for long.
  KEYS[1] tag   ARGV[1] unseen for at least, ms
  Returns their names.   Fence: pending is 0, read in the same script: DELCONSUMER drops what is pending. ]]
local result = {}
for _, queue in pairs(QUEUE) do
  local consumers = redis.pcall('XINFO', 'CONSUMERS', queue, GROUP)
  if not consumers.err then
    for _, c in ipairs(consumers) do
      local info = {}
      for i = 1, #c, 2 do info[c[i]] = c[i + 1] end
      if info.pending == 0 and info.idle >= tonumber(ARGV[1]) then
        redis.call('XGROUP', 'DELCONSUMER', queue, GROUP, info.name)
        result[#result + 1] = info.name
      end
    end
  end
end
return result
