--[[ SENDING -> CANCELLED: the booking does not stand. Nothing was said to the relay.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] retention, ms
  then 5 for each message: rank, entry id, message id, attempt, reason
  Returns for each 1, or 0: not the owner, nothing written.   Fence: owned(). ]]
local result = {}
for i = 3, #ARGV, 5 do
  local id, attempt = ARGV[i + 2], ARGV[i + 3]
  local l = owned(id, ARGV[1], ARGV[i + 1])
  if l then
    remove(ARGV[i], ARGV[i + 1])
    redis.call('HSET', MESSAGE .. id, 'n', tonumber(attempt) - 1)
    cancel(id, 'sending', ARGV[i + 4], l, ARGV[2])
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return result
