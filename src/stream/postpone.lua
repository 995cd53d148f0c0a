--[[ SENDING -> SCHEDULED: the booking is not paid yet, or its store cannot say. The attempt is not spent.
  KEYS[1] tag   ARGV[1] consumer
  then 4 for each message: claim, delay ms, 1 when its booking store was asked in vain, else 0, reason
  Returns for each 1, or 0: not the owner, nothing written. One that was rolled back meanwhile is CANCELLED.
  Fence: owned(). ]]
local result = {}
for i = 2, #ARGV, 4 do
  local rank, entry, id, attempt = claim_of(ARGV[i])
  local due = AT + tonumber(ARGV[i + 1])
  local l, rolled_back = owned(id, ARGV[1], entry)
  if l then remove(rank, entry) end
  if rolled_back then
    end_rolled_back(id, 'scheduled', '', ARGV[i + 3], l, rolled_back, 'n', tonumber(attempt) - 1)
  elseif l then
    redis.call('ZADD', DUE, due, id)
    redis.call('HINCRBY', MESSAGE .. id, 'w', ARGV[i + 2])
    move(id, 'sending', 'scheduled', '', ARGV[i + 3], l, 'd', due, 'n', tonumber(attempt) - 1)
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return table.concat(result, ' ')
