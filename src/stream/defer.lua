--[[ SENDING -> DEFERRED.
  KEYS[1] tag   ARGV[1] consumer
  then 3 for each message: claim, delay ms, reason
  Returns for each 1, or 0: not the owner, nothing written. One that was rolled back meanwhile is CANCELLED.
  Fence: owned(). ]]
local result = {}
for i = 2, #ARGV, 3 do
  local rank, entry, id, attempt = claim_of(ARGV[i])
  local due = AT + tonumber(ARGV[i + 1])
  local l, rolled_back = owned(id, ARGV[1], entry)
  if rolled_back then
    remove(rank, entry)
    end_rolled_back(id, 'deferred', attempt, ARGV[i + 2], l, rolled_back)
  elseif l then
    redis.call('ZADD', DUE, due, id)
    remove(rank, entry)
    move(id, 'sending', 'deferred', attempt, ARGV[i + 2], l, 'd', due)
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return table.concat(result, ' ')
