--[[ SENDING -> SENT. A rollback comes too late: the relay has the mail.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] retention, ms   then 2 for each message: claim, what the relay said
  Returns and fence: settle_each. After it the hash expires on its own. ]]
return settle_each(0, nil, function(id, attempt, reply, timeline)
  move(id, 'sending', 'sent', attempt, reply, timeline)
  expire(id, ARGV[2])
end)
