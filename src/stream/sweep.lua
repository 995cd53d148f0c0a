--[[ Takes entries whose messages have all expired out of what was posted.
  KEYS[1] tag   ARGV[1] where to begin, an entry id or '-'   ARGV[2] at most so many entries
  Returns the number taken out, and where to go on ('-': it was the end).   Fence: only ids without a hash. ]]
local entries = redis.call('XRANGE', POSTED, ARGV[1], '+', 'COUNT', ARGV[2])
local gone = {}
for _, entry in ipairs(entries) do
  local keys = {}
  for id in string.gmatch('\n' .. (entry[2][2] or ''), '\n([^|\n]*)') do keys[#keys + 1] = MESSAGE .. id end
  if redis.call('EXISTS', unpack(keys)) == 0 then gone[#gone + 1] = entry[1] end
end
if gone[1] then redis.call('XDEL', POSTED, unpack(gone)) end
return { #gone, #entries == tonumber(ARGV[2]) and '(' .. entries[#entries][1] or '-' }
