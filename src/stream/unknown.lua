--[[ SENDING -> UNKNOWN: the final dot was sent and no reply was read (RFC 1047).
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] retention, ms
  then 4 for each message: claim, reason, resend delay ms (-1: hold), fingerprint
  Returns and fence: settle_each. A held one stands beside the dead letters for a person. ]]
return settle_each(2, function(attempt) return 'unknown', attempt end,
  function(id, attempt, reason, timeline, _, delay, fingerprint)
    delay = tonumber(delay)
    if delay < 0 then
      add_dead_letter(id, reason, fingerprint)
    else
      redis.call('ZADD', DUE, AT + delay, id)
    end
    move(id, 'sending', 'unknown', attempt, reason, timeline, 'd', AT + math.max(0, delay))
  end)
