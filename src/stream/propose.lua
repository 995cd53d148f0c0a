--[[ Begins a change of the layout, in the first partition, or finds the one that is under way.
  KEYS[1] tag   ARGV[1] version that the caller knows, 0: none   ARGV[2] the layout that follows it
  Returns the layout, and the one that is under way ('' for none).
  Fence: the version, and that no other change is under way. ]]
local now = redis.call('GET', LAYOUT) or ''
local next = redis.call('GET', LAYOUT_NEXT) or ''
if next == '' and (string.match(now, '^%d+') or '0') == ARGV[1] then
  next = ARGV[2]
  redis.call('SET', LAYOUT_NEXT, next)
end
return { now, next }
