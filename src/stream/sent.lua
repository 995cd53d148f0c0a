--[[ SENDING -> SENT.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] retention, ms
  then 2 for each message: claim, what the relay said
  Returns for each 1, or 0: not the owner, nothing written.
  Fence: owned(). After it the hash expires on its own. ]]
local result = {}
for i = 3, #ARGV, 2 do
  local rank, entry, id, attempt = claim_of(ARGV[i])
  local l = owned(id, ARGV[1], entry)
  if l then
    remove(rank, entry)
    move(id, 'sending', 'sent', attempt, ARGV[i + 1], l)
    expire(id, ARGV[2])
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return table.concat(result, ' ')
