--[[ SENDING -> SCHEDULED: the booking is not paid yet, or its store cannot say. The attempt is not spent.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] retention, ms
  then 4 for each message: claim, reason, delay ms, 1 when its booking store answered and decided nothing, else 0
  Returns and fence: settle_each. ]]
return settle_each(2, function(attempt) return 'scheduled', '', 'n', attempt - 1 end,
  function(id, attempt, reason, timeline, _, delay, answered)
    local due = AT + tonumber(delay)
    redis.call('ZADD', DUE, due, id)
    redis.call('HINCRBY', MESSAGE .. id, 'w', answered)
    move(id, 'sending', 'scheduled', '', reason, timeline, 'd', due, 'n', attempt - 1)
  end)
