--[[ DEAD | held UNKNOWN -> QUEUED, with a full set of retries.
  KEYS[1] tag   ARGV[1] message id   ARGV[2] the event as edited, JSON ('': as it is)
  ARGV[3] digest of the new booking, '|', of the new recipient, each '' where it is the same ('': both are)
  Returns 'replayed' | 'not_found' | 'not_dead', and the event id.   Fence: the state and the dead-letter entry. ]]
local id = ARGV[1]
local m = redis.call('HMGET', MESSAGE .. id, 's', 'x', 'f', 'n', 'c', 'l', 'e')
if not m[1] then return { 'not_found' } end
if not m[2] or (m[1] ~= 'dead' and m[1] ~= 'unknown') then return { 'not_dead' } end
if m[7] == '' and ARGV[2] == '' then return { 'not_dead' } end
remove_dead_letter(id, m[2], m[3])
if ARGV[3] ~= '' then posted[1] = id .. '|' .. ARGV[3] .. '\n' end
local edited = ARGV[2] ~= ''
if edited then redis.call('HSET', MESSAGE .. id, 'e', ARGV[2], 'v', m[4] or 0) end
move(id, m[1], 'queued', '', edited and 'replayed, edited' or 'replayed', m[6],
  'b', m[4], 'd', AT, 'q', enqueue(rank_of(m[5]), id))
finish()
return { 'replayed', event_of(m[5]) }
