--[[ HELD | SCHEDULED | QUEUED | DEFERRED | UNKNOWN | DEAD -> CANCELLED.
  KEYS[1] tag   ARGV[1] event id   ARGV[2] the message id it has or will have
  ARGV[3] dedup TTL, ms   ARGV[4] retention, ms
  Returns word, message id, state. The word is definitive:
    'cancelled'  no mail has left and none will; also for an event that has not been posted yet
    'in_flight'  an attempt is under way; if it does not end in SENT, no other one follows
    'too_late'   the mail has left, or may have (an attempt ended in UNKNOWN); no other one follows
  Fence: the state, which take.lua moves on before a worker opens its mouth. ]]
local id = message_of(ARGV[1], ARGV[2])
if not id then
  redis.call('SET', DEDUP .. ARGV[1], ARGV[2] .. ' -', 'PX', ARGV[3])
  return { 'cancelled', ARGV[2], 'cancelled' }
end
local m = redis.call('HMGET', MESSAGE .. id, 's', 'l', 'x', 'f', 'u')
local state, l = m[1], m[2]
local word = m[5] and 'too_late' or 'cancelled'
if not state or state == 'cancelled' then return { word, id, 'cancelled' } end
if state == 'sent' or state == 'bounced' then return { 'too_late', id, state } end
if state == 'sending' then
  redis.call('HSET', MESSAGE .. id, 'k', ARGV[4])
  return { word == 'too_late' and word or 'in_flight', id, state }
end
if m[3] then take_away(id, m[3], m[4]) end
redis.call('ZREM', DUE, id)
redis.call('ZREM', HELD, id)
cancel(id, state, 'rolled back', l, ARGV[4])
finish()
return { word, id, 'cancelled' }
