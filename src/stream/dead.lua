--[[ SENDING -> DEAD; by way of UNKNOWN where the relay may have the mail.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] retention, ms   then 4 for each message: claim, reason, fingerprint, and
    'tried' | 'untried' (nothing was said to the relay) | 'unknown' (it may have the mail)
  Returns and fence: settle_each. ]]
local function ends_as(attempt, _, how)
  return how == 'unknown' and 'unknown' or 'dead', how == 'untried' and '' or attempt
end

return settle_each(2, ends_as, function(id, attempt, reason, timeline, _, fingerprint, how)
  local outcome, spent = ends_as(attempt, fingerprint, how)
  add_dead_letter(id, reason, fingerprint)
  timeline = move(id, 'sending', outcome, spent, reason, timeline)
  if outcome == 'unknown' then move(id, 'unknown', 'dead', spent, reason, timeline) end
end)
