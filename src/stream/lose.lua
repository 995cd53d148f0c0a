--[[ SENDING -> UNKNOWN: the final dot was sent and no reply was read (RFC 1047).
  KEYS[1] tag   ARGV[1] consumer
  then 4 for each message: claim, resend delay ms (-1: hold), fingerprint, reason
  Returns for each 1, or 0: not the owner, nothing written. One that was rolled back meanwhile is CANCELLED.
  Fence: owned(). A held one is laid out beside the dead letters for a person. ]]
local result = {}
for i = 2, #ARGV, 4 do
  local rank, entry, id, attempt = claim_of(ARGV[i])
  local delay = tonumber(ARGV[i + 1])
  local l, rolled_back = owned(id, ARGV[1], entry)
  if rolled_back then
    remove(rank, entry)
    end_rolled_back(id, 'unknown', attempt, ARGV[i + 3], l, rolled_back)
  elseif l then
    if delay < 0 then
      lay_out(id, ARGV[i + 3], ARGV[i + 2])
    else
      redis.call('ZADD', DUE, AT + delay, id)
    end
    remove(rank, entry)
    move(id, 'sending', 'unknown', attempt, ARGV[i + 3], l, 'd', AT + math.max(0, delay))
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return table.concat(result, ' ')
