--[[ SENDING -> QUEUED: taken, but not tried. The attempt is not spent.
  KEYS[1] tag   ARGV[1] consumer
  then 5 for each message: rank, entry id, message id, attempt, reason
  Returns for each 1, or 0: not the owner, nothing written.   Fence: owned(). ]]
local result = {}
for i = 2, #ARGV, 5 do
  local id, attempt = ARGV[i + 2], ARGV[i + 3]
  local l, rolled_back = owned(id, ARGV[1], ARGV[i + 1])
  if rolled_back then
    remove(ARGV[i], ARGV[i + 1])
    end_rolled_back(id, 'queued', '', ARGV[i + 4], l, rolled_back, 'n', tonumber(attempt) - 1)
  elseif l then
    remove(ARGV[i], ARGV[i + 1])
    move(id, 'sending', 'queued', '', ARGV[i + 4], l, 'n', tonumber(attempt) - 1, 'q', enqueue(ARGV[i], id))
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return result
