--[[ HELD -> SCHEDULED (a delay was asked for) | QUEUED.
  KEYS[1] tag   ARGV[1] the message id that the event gives   ARGV[2] reason   ARGV[3] layout version
  Returns word, message id, state, due (epoch ms), 1 or 0: was it this call. The word is 'committed' (now or before,
  or it was never held), 'cancelled' (also rolled back while SENDING) or 'not_found'; or 'moved' alone: another layout.
  Fence: the state; a second commit finds it committed, and writes nothing. ]]
if has_moved(ARGV[3]) then return { 'moved' } end
local id, rolled_back = message_of(ARGV[1])
if rolled_back then return { 'cancelled', ARGV[1], 'cancelled', 0, 0 } end
if not id then return { 'not_found', '', '', 0, 0 } end
local m = redis.call('HMGET', MESSAGE .. id, 's', 'd', 'h', 'c', 'l', 'k')
if m[1] == 'cancelled' or m[1] == 'sending' and m[6] then return { 'cancelled', id, m[1], due_of(m[2], m[5]), 0 } end
if m[1] ~= 'held' then return { 'committed', id, m[1], due_of(m[2], m[5]), 0 } end
local delay = tonumber(m[3])
local state = delay > 0 and 'scheduled' or 'queued'
redis.call('ZREM', HELD, id)
if delay > 0 then
  redis.call('ZADD', DUE, AT + delay, id)
  move(id, 'held', state, '', ARGV[2], m[5], 'd', AT + delay)
else
  move(id, 'held', state, '', ARGV[2], m[5], 'd', AT, 'q', enqueue(rank_of(m[4]), id))
end
redis.call('HDEL', MESSAGE .. id, 'h', 'w')
finish()
return { 'committed', id, state, AT + delay, 1 }
