--[[ SENDING -> DEAD; by way of UNKNOWN where the relay may have the mail.
  KEYS[1] tag   ARGV[1] consumer
  then 4 for each message: claim, fingerprint, reason, and 'tried' | 'untried' (nothing was said to the relay) |
    'unknown' (it may have the mail)
  Returns for each 1, or 0: not the owner, nothing written. One that was rolled back meanwhile is CANCELLED.
  Fence: owned(). ]]
local result = {}
for i = 2, #ARGV, 4 do
  local rank, entry, id, attempt = claim_of(ARGV[i])
  local l, rolled_back = owned(id, ARGV[1], entry)
  local reason, how = ARGV[i + 2], ARGV[i + 3]
  local outcome = how == 'unknown' and how or 'dead'
  if how == 'untried' then attempt = '' end
  if l then remove(rank, entry) end
  if rolled_back then
    end_rolled_back(id, outcome, attempt, reason, l, rolled_back)
  elseif l then
    lay_out(id, reason, ARGV[i + 1])
    l = move(id, 'sending', outcome, attempt, reason, l)
    if outcome == 'unknown' then move(id, 'unknown', 'dead', attempt, reason, l) end
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return table.concat(result, ' ')
