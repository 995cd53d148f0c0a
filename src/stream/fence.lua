--[[ Fences a partition: from here on no post, commit or rollback of a caller with an older layout is taken there. In the
  first partition, the last one to be fenced, this is the layout itself, and the change is done.
  KEYS[1] tag   ARGV[1] the layout
  Returns 1, or 0: it is fenced with this version or a newer one already.   Fence: the version only grows. ]]
local function version_of(layout) return tonumber(string.match(layout or '', '^%d+') or 0) end
local newer = version_of(redis.call('GET', LAYOUT)) < version_of(ARGV[1])
if newer then redis.call('SET', LAYOUT, ARGV[1]) end
if version_of(redis.call('GET', LAYOUT_NEXT)) <= version_of(ARGV[1]) then redis.call('DEL', LAYOUT_NEXT) end
return newer and 1 or 0
