--[[ Fences a partition: from here on no post, commit or rollback of a caller with an older layout is taken there. In the
  first partition, the last one to be fenced, this is the layout itself, and the change is done.
  KEYS[1] tag   ARGV[1] the layout; where it says 0, the number before it ends now
  Returns the layout that is there then.   Fence: the version only grows. ]]
local function version_of(layout) return tonumber(string.match(layout or '', '^%d+') or 0) end
if version_of(redis.call('GET', LAYOUT)) < version_of(ARGV[1]) then
  redis.call('SET', LAYOUT, (string.gsub(ARGV[1], '"endedAt":0}', '"endedAt":' .. AT_TEXT .. '}')))
end
if version_of(redis.call('GET', LAYOUT_NEXT)) <= version_of(ARGV[1]) then redis.call('DEL', LAYOUT_NEXT) end
return redis.call('GET', LAYOUT)
