--[[ SCHEDULED | QUEUED -> the same, with another event: a further notice of the payment came before the first attempt.
  KEYS[1] tag   ARGV[1] the message id that the event gives   ARGV[2] layout version   ARGV[3] the event, JSON
  ARGV[4] digest of its booking, '|', of its recipient   ARGV[5] reason
  ARGV[6..] the events, JSON, that fewer of the payment's notices make: any other one is left as it is
  Returns word, message id, state, due (epoch ms). The word is 'amended', 'known' or 'not_found'; or 'moved' alone.
  Fence: the state, no attempt begun, and the event: who knew more came first, or it is a producer's own. ]]
if has_moved(ARGV[2]) then return { 'moved' } end
local id = message_of(ARGV[1])
if not id then return { 'not_found', '', '', 0 } end
local state, d, l, e, begun = unpack(redis.call('HMGET', MESSAGE .. id, 's', 'd', 'l', 'e', 'n'))
local due = due_of(d, l)
local replaces = false
for i = 6, #ARGV do replaces = replaces or e == ARGV[i] end
if begun or not replaces or (state ~= 'scheduled' and state ~= 'queued') then return { 'known', id, state, due } end
posted[1] = id .. '|' .. ARGV[4] .. '\n'
move(id, state, state, '', ARGV[5], l, 'e', ARGV[3])
finish()
return { 'amended', id, state, due }
