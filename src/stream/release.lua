--[[ SENDING -> QUEUED: taken, but not tried. The attempt is not spent.
  KEYS[1] tag   ARGV[1] consumer
  then 2 for each message: claim, reason
  Returns for each 1, or 0: not the owner, nothing written. One that was rolled back meanwhile is CANCELLED.
  Fence: owned(). ]]
local result = {}
for i = 2, #ARGV, 2 do
  local rank, entry, id, attempt = claim_of(ARGV[i])
  local l, rolled_back = owned(id, ARGV[1], entry)
  if rolled_back then
    remove(rank, entry)
    end_rolled_back(id, 'queued', '', ARGV[i + 1], l, rolled_back, 'n', tonumber(attempt) - 1)
  elseif l then
    remove(rank, entry)
    move(id, 'sending', 'queued', '', ARGV[i + 1], l, 'n', tonumber(attempt) - 1, 'q', enqueue(rank, id))
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return table.concat(result, ' ')
