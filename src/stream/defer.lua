--[[ SENDING -> DEFERRED.
  KEYS[1] tag   ARGV[1] consumer
  then 6 for each message: rank, entry id, message id, attempt, delay ms, reason
  Returns for each 1, or 0: not the owner, nothing written.   Fence: owned(). ]]
local result = {}
for i = 2, #ARGV, 6 do
  local id, attempt, due = ARGV[i + 2], ARGV[i + 3], AT + tonumber(ARGV[i + 4])
  local l, rolled_back = owned(id, ARGV[1], ARGV[i + 1])
  if rolled_back then
    remove(ARGV[i], ARGV[i + 1])
    end_rolled_back(id, 'deferred', attempt, ARGV[i + 5], l, rolled_back)
  elseif l then
    redis.call('ZADD', DUE, due, id)
    remove(ARGV[i], ARGV[i + 1])
    move(id, 'sending', 'deferred', attempt, ARGV[i + 5], l, 'd', due)
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return result
