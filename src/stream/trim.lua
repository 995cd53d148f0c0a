--[[ Trims the feed to a size. As it is written it is trimmed to FEED_LENGTH entries, of one to a hundred transitions each.
  KEYS[1] tag   ARGV[1] bytes
  Returns how many entries were trimmed. ]]
local bytes = redis.call('MEMORY', 'USAGE', FEED) or 0
if bytes <= tonumber(ARGV[1]) then return 0 end
return redis.call('XTRIM', FEED, 'MAXLEN', '~', math.floor(redis.call('XLEN', FEED) * ARGV[1] / bytes), 'LIMIT', FEED_TRIM)
