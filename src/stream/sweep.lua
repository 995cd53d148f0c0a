--[[ Takes the next chunk out of what was posted if all its messages have expired. Never the last one, which grows.
  KEYS[1] tag   ARGV[1] the chunk after which it is, '0' (or one that is gone): the oldest
  Returns 1 when it was taken out, else 0; and the chunk after which to go on (nil: this was the end).
  Fence: only ids without a hash. One chunk a call: nobody waits for longer than its 300 messages take. ]]
local at = redis.call('LPOS', POSTED, ARGV[1])
local index = at and at + 1 or 0
local left = redis.call('LLEN', POSTED) - 1 - index
if left <= 0 then return { 0, false } end
local chunk = redis.call('LINDEX', POSTED, index)
local text = redis.call('GET', POSTED .. ':' .. chunk) or ''

local function has_expired()
  -- Its youngest message goes last, so mostly this one says it all.
  local youngest = string.match(string.sub(text, -256), '([^|\n]*)|[^\n]*\n$')
  if youngest and redis.call('EXISTS', MESSAGE .. youngest) == 1 then return false end
  local keys = {}
  for id in string.gmatch(text, '([^|\n]*)[^\n]*\n') do keys[#keys + 1] = MESSAGE .. id end
  return not keys[1] or redis.call('EXISTS', unpack(keys)) == 0
end

local gone = has_expired()
if gone then
  redis.call('DEL', POSTED .. ':' .. chunk)
  redis.call('LREM', POSTED, 1, chunk)
end
return { gone and 1 or 0, left > 1 and (gone and ARGV[1] or chunk) }
