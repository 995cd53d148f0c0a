--[[ SENDING -> SENT.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] retention, ms
  then 5 for each message: rank, entry id, message id, attempt, what the relay said
  Returns for each 1, or 0: not the owner, nothing written.
  Fence: owned(). After it the hash expires on its own. ]]
local result = {}
for i = 3, #ARGV, 5 do
  local id, attempt = ARGV[i + 2], ARGV[i + 3]
  local l, rolled_back = owned(id, ARGV[1], ARGV[i + 1])
  if l then
    remove(ARGV[i], ARGV[i + 1])
    move(id, 'sending', 'sent', attempt, ARGV[i + 4], l)
    if rolled_back then redis.call('HDEL', MESSAGE .. id, 'k') end
    expire(id, ARGV[2])
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return result
