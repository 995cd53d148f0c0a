--[[ Takes messages that have expired out of the index.
  KEYS[1] tag   ARGV[1] first bucket   ARGV[2] number of buckets
  Returns the number taken out.   Fence: only ids without a hash. ]]
local gone = 0
for bucket = tonumber(ARGV[1]), tonumber(ARGV[1]) + tonumber(ARGV[2]) - 1 do
  local find = FIND .. string.format('%03x', bucket)
  for _, id in ipairs(redis.call('LRANGE', find, 0, -1)) do
    if redis.call('EXISTS', MESSAGE .. id) == 0 then
      redis.call('LREM', find, 1, id)
      gone = gone + 1
    end
  end
end
return gone
