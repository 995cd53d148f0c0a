--[[ SENDING -> CANCELLED: the booking does not stand. Nothing was said to the relay. The attempt is not spent.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] retention, ms   then 2 for each message: claim, reason
  Returns and fence: settle_each. A rollback meanwhile says the same. ]]
return settle_each(0, nil, function(id, attempt, reason, timeline)
  redis.call('HSET', MESSAGE .. id, 'n', attempt - 1)
  cancel(id, 'sending', reason, timeline, ARGV[2])
end)
