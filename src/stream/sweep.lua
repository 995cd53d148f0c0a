--[[ Takes chunks whose messages have all expired out of what was posted, but not the last one, which grows.
  KEYS[1] tag   ARGV[1] the chunk after which to begin, '0': with the oldest   ARGV[2] at most so many chunks
  Returns the number taken out, and the chunk after which to go on ('0': it was the end).
  Fence: only ids without a hash. ]]
local gone, looked_at = 0, 0
for _, chunk in ipairs(redis.call('LRANGE', POSTED, 0, -2)) do
  if tonumber(chunk) > tonumber(ARGV[1]) then
    if looked_at == tonumber(ARGV[2]) then return { gone, ARGV[1] } end
    looked_at = looked_at + 1
    ARGV[1] = chunk
    local keys = {}
    for id in string.gmatch(redis.call('GET', POSTED .. ':' .. chunk) or '', '([^|\n]*)[^\n]*\n') do
      keys[#keys + 1] = MESSAGE .. id
    end
    if not keys[1] or redis.call('EXISTS', unpack(keys)) == 0 then
      redis.call('DEL', POSTED .. ':' .. chunk)
      redis.call('LREM', POSTED, 1, chunk)
      gone = gone + 1
    end
  end
end
return { gone, '0' }
