--[[ SENDING -> DEFERRED.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] retention, ms   then 3 for each message: claim, reason, delay ms
  Returns and fence: settle_each. ]]
return settle_each(1, function(attempt) return 'deferred', attempt end,
  function(id, attempt, reason, timeline, _, delay)
    local due = AT + tonumber(delay)
    redis.call('ZADD', DUE, due, id)
    move(id, 'sending', 'deferred', attempt, reason, timeline, 'd', due)
  end)
