--[[ SENDING -> DEAD.
  KEYS[1] tag   ARGV[1] consumer
  then 3 for each message: claim, fingerprint, reason
  Returns for each the number of dead letters that share its fingerprint now (1: the first of its kind),
  0: not the owner, nothing written; -1: rolled back meanwhile, so CANCELLED.   Fence: owned(). ]]
local result = {}
for i = 2, #ARGV, 3 do
  local rank, entry, id, attempt = claim_of(ARGV[i])
  local l, rolled_back = owned(id, ARGV[1], entry)
  local alike = 0
  if rolled_back then
    alike = -1
    remove(rank, entry)
    end_rolled_back(id, 'dead', attempt, ARGV[i + 2], l, rolled_back)
  elseif l then
    alike = lay_out(id, ARGV[i + 2], ARGV[i + 1])
    remove(rank, entry)
    move(id, 'sending', 'dead', attempt, ARGV[i + 2], l)
  end
  result[#result + 1] = alike
end
finish()
return table.concat(result, ' ')
