--[[ HELD | SCHEDULED | QUEUED | DEFERRED | UNKNOWN | DEAD -> CANCELLED.
  KEYS[1] tag   ARGV[1] the message id that the event gives   ARGV[2] retention, ms   ARGV[3] reason
  ARGV[4] layout version
  Returns word, id and state of the event's latest message, 1 or 0: did its state change. The word is definitive for it:
    'cancelled'  its mail has not left and will not; also for an event that has not been posted yet
    'in_flight'  an attempt is under way; if it does not end in SENT, no other one follows
    'too_late'   the mail has left, or may have (an attempt ended in UNKNOWN); no other one follows
  A post that comes after it finds it, for the retention. Or 'moved' alone: another layout, nothing written.
  Fence: the state, which take.lua moves on before a worker opens its mouth. ]]
if has_moved(ARGV[4]) then return { 'moved' } end
local first = ARGV[1]
local id, rolled_back = message_of(first)
if not id then
  redis.call('HSET', MESSAGE .. first, 'c', '-')
  redis.call('PEXPIRE', MESSAGE .. first, ARGV[2])
  return { 'cancelled', first, 'cancelled', rolled_back and 0 or 1 }
end
local m = redis.call('HMGET', MESSAGE .. id, 's', 'l', 'x', 'f', 'u')
local state, l = m[1], m[2]
local word = m[5] and 'too_late' or 'cancelled'
if state == 'sent' or state == 'bounced' then
  redis.call('HSET', MESSAGE .. id, 'k', ARGV[2])
  expire(id, ARGV[2])
  return { 'too_late', id, state, 0 }
end
if state == 'cancelled' then
  expire(id, ARGV[2])
  return { word, id, state, 0 }
end
if state == 'sending' then
  redis.call('HSET', MESSAGE .. id, 'k', ARGV[2])
  return { word == 'too_late' and word or 'in_flight', id, state, 0 }
end
if m[3] then remove_dead_letter(id, m[3], m[4]) end
redis.call('ZREM', DUE, id)
redis.call('ZREM', HELD, id)
cancel(id, state, ARGV[3], l, ARGV[2])
finish()
return { word, id, 'cancelled', 1 }
