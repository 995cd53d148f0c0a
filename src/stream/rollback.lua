--[[ HELD | SCHEDULED | QUEUED | DEFERRED | UNKNOWN | DEAD -> CANCELLED.
  KEYS[1] tag   ARGV[1] the message id that the event gives   ARGV[2] dedup TTL, ms   ARGV[3] retention, ms
  Returns word, message id, state. The word is definitive:
    'cancelled'  no mail has left and none will; also for an event that has not been posted yet
    'in_flight'  an attempt is under way; if it does not end in SENT, no other one follows
    'too_late'   the mail has left, or may have (an attempt ended in UNKNOWN); no other one follows
  It speaks of the event's latest message; earlier ones that are still owed are rolled back with it.
  Fence: the state, which take.lua moves on before a worker opens its mouth. ]]
local first = ARGV[1]
local latest, rolled_back = message_of(first)
if not latest then
  if not rolled_back then
    redis.call('HSET', MESSAGE .. first, 'c', '-')
    redis.call('PEXPIRE', MESSAGE .. first, ARGV[2])
  end
  return { 'cancelled', first, 'cancelled' }
end

local function roll_back(id)
  local m = redis.call('HMGET', MESSAGE .. id, 's', 'l', 'x', 'f', 'u')
  local state, l = m[1], m[2]
  local word = m[5] and 'too_late' or 'cancelled'
  if not state or state == 'cancelled' then return word, 'cancelled' end
  if state == 'sent' or state == 'bounced' then return 'too_late', state end
  if state == 'sending' then
    redis.call('HSET', MESSAGE .. id, 'k', ARGV[3])
    return word == 'too_late' and word or 'in_flight', state
  end
  if m[3] then take_away(id, m[3], m[4]) end
  redis.call('ZREM', DUE, id)
  redis.call('ZREM', HELD, id)
  cancel(id, state, 'rolled back', l, ARGV[3])
  return word, 'cancelled'
end

local word, state = roll_back(latest)
for generation = 1, tonumber(string.match(latest, '%.(%d+)$') or 1) - 1 do
  local earlier = roll_back(generation == 1 and first or first .. '.' .. generation)
  if earlier == 'in_flight' then word, state = earlier, 'sending' end
end
finish()
return { word, latest, state }
