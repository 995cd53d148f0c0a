--[[ SENDING -> SENDING: the lease begins anew.
  KEYS[1] tag   ARGV[1] consumer   then 3 for each message: rank, entry id, message id
  Returns for each 1, or 0: not the owner any more.
  Fence: owned(), since XCLAIM itself would take the entry back from its new owner. ]]
local result = {}
for i = 2, #ARGV, 3 do
  local mine = owned(ARGV[i + 2], ARGV[1], ARGV[i + 1])
  -- By pcall: a group that is gone must not keep the other messages' leases from being renewed.
  if mine then redis.pcall('XCLAIM', QUEUE[ARGV[i]], GROUP, ARGV[1], 0, ARGV[i + 1], 'JUSTID') end
  result[#result + 1] = mine and 1 or 0
end
return result
