--[[ SENDING -> DEAD.
  KEYS[1] tag   ARGV[1] consumer
  then 6 for each message: rank, entry id, message id, attempt, fingerprint, reason
  Returns for each the number of dead letters that share its fingerprint now (1: the first of its kind),
  0: not the owner, nothing written; -1: rolled back meanwhile, so CANCELLED.   Fence: owned(). ]]
local result = {}
for i = 2, #ARGV, 6 do
  local id, attempt = ARGV[i + 2], ARGV[i + 3]
  local l, rolled_back = owned(id, ARGV[1], ARGV[i + 1])
  local alike = 0
  if rolled_back then
    alike = -1
    remove(ARGV[i], ARGV[i + 1])
    end_rolled_back(id, 'dead', attempt, ARGV[i + 5], l, rolled_back)
  elseif l then
    alike = lay_out(id, ARGV[i + 5], ARGV[i + 4])
    remove(ARGV[i], ARGV[i + 1])
    move(id, 'sending', 'dead', attempt, ARGV[i + 5], l)
  end
  result[#result + 1] = alike
end
finish()
return result
