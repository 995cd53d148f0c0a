--[[ What the pending lists say that a consumer owns. Reads only.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] at most so many for each rank
  Returns the claims, a line each. ]]
local result = {}
for rank = 0, 2 do
  rank = tostring(rank)
  local pending = redis.pcall('XPENDING', QUEUE[rank], GROUP, '-', '+', ARGV[2], ARGV[1])
  if pending.err then pending = {} end
  for _, p in ipairs(pending) do
    local found = redis.call('XRANGE', QUEUE[rank], p[1], p[1])[1]
    local id = found and found[2][2] or ''
    if not string.find(id, '%s') then
      result[#result + 1] = claim(rank, p[1], id, redis.call('HGET', MESSAGE .. id, 'n') or '0')
    end
  end
end
return table.concat(result, '\n')
