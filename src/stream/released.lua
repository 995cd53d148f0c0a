--[[ SENDING -> QUEUED: taken, but not tried. The attempt is not spent.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] retention, ms   then 2 for each message: claim, reason
  Returns and fence: settle_each. ]]
return settle_each(0, function(attempt) return 'queued', '', 'n', attempt - 1 end,
  function(id, attempt, reason, timeline, rank)
    move(id, 'sending', 'queued', '', reason, timeline, 'n', attempt - 1, 'q', enqueue(rank, id))
  end)
