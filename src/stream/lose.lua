--[[ SENDING -> UNKNOWN: the final dot was sent and no reply was read (RFC 1047).
  KEYS[1] tag   ARGV[1] consumer
  then 7 for each message: rank, entry id, message id, attempt, resend delay ms (-1: hold), fingerprint, reason
  Returns for each 1, or 0: not the owner, nothing written.
  Fence: owned(). A held one is laid out beside the dead letters for a person. ]]
local result = {}
for i = 2, #ARGV, 7 do
  local id, attempt, delay = ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4])
  local l, rolled_back = owned(id, ARGV[1], ARGV[i + 1])
  if rolled_back then
    remove(ARGV[i], ARGV[i + 1])
    end_rolled_back(id, 'unknown', attempt, ARGV[i + 6], l, rolled_back)
  elseif l then
    if delay < 0 then
      lay_out(id, ARGV[i + 6], ARGV[i + 5])
    else
      redis.call('ZADD', DUE, AT + delay, id)
    end
    remove(ARGV[i], ARGV[i + 1])
    move(id, 'sending', 'unknown', attempt, ARGV[i + 6], l, 'd', AT + math.max(0, delay))
  end
  result[#result + 1] = l and 1 or 0
end
finish()
return result
