--[[ SENDING -> SCHEDULED: the booking is not paid yet, or its store cannot say. The attempt is not spent.
  KEYS[1] tag   ARGV[1] consumer
  then 7 for each message: rank, entry id, message id, attempt, delay ms, '1' to count it as asked in vain, reason
  Returns for each 1, or 0: not the owner, nothing written.   Fence: owned(). ]]
local result = {}
for i = 2, #ARGV, 7 do
  local id, attempt, due = ARGV[i + 2], ARGV[i + 3], AT + tonumber(ARGV[i + 4])
  local l, rolled_back = owned(id, ARGV[1], ARGV[i + 1])
  if l then remove(ARGV[i], ARGV[i + 1]) end
  if rolled_back then
    end_rolled_back(id, 'scheduled', '', ARGV[i + 6], l, rolled_back, 'n', tonumber(attempt) - 1)
  elseif l then
    redis.call('ZADD', DUE, due, id)
    redis.call('HINCRBY', MESSAGE .. id, 'w', ARGV[i + 5])
    move(id, 'sending', 'scheduled', '', ARGV[i + 6], l, 'd', due, 'n', tonumber(attempt) - 1)
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return result
