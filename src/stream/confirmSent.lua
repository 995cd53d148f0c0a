--[[ QUEUED | SCHEDULED | DEFERRED | UNKNOWN | DEAD -> SENT: a late 250. The relay took an attempt whose owner lost the
  message before it could settle it.
  KEYS[1] tag   ARGV[1] message id   ARGV[2] attempt   ARGV[3] what the relay said   ARGV[4] retention, ms
  Returns 1, or 0: another attempt is under way, or has ended it, or the event was edited since; nothing written.
  Fence: the state; the attempt must have started, with the event as it is now. ]]
local id = ARGV[1]
local m = redis.call('HMGET', MESSAGE .. id, 's', 'n', 'l', 'x', 'f', 'c', 'q', 'v')
local open = { queued = true, scheduled = true, deferred = true, unknown = true, dead = true }
local attempt, started, before_edit = tonumber(ARGV[2]), tonumber(m[2] or 0), tonumber(m[8] or 0)
if not m[1] or not open[m[1]] or attempt > started or attempt <= before_edit then return 0 end
if m[4] then remove_dead_letter(id, m[4], m[5]) end
redis.call('ZREM', DUE, id)
if m[1] == 'queued' and m[7] then remove(rank_of(m[6]), m[7]) end
move(id, m[1], 'sent', ARGV[2], ARGV[3], m[3])
expire(id, ARGV[4])
finish()
return 1
