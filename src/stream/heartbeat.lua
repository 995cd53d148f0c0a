--[[ SENDING -> SENDING: the lease begins anew.
  KEYS[1] tag   ARGV[1] consumer   then the claims
  Returns for each 1, or 0: not the owner any more.
  Fence: owned(), since XCLAIM itself would take the entry back from its new owner. ]]
local result = {}
for i = 2, #ARGV do
  local rank, entry, id = claim_of(ARGV[i])
  local mine = owned(id, ARGV[1], entry)
  -- By pcall: a group that is gone must not keep the other messages' leases from being renewed.
  if mine then redis.pcall('XCLAIM', QUEUE[rank], GROUP, ARGV[1], 0, entry, 'JUSTID') end
  result[#result + 1] = mine and 1 or 0
end
return table.concat(result, ' ')
