--[[ DEAD | held UNKNOWN -> CANCELLED, by a person.
  KEYS[1] tag   ARGV[1] message id   ARGV[2] retention, ms
  Returns 'dropped' | 'not_found' | 'not_dead', and the event id.   Fence: the state and the dead-letter entry. ]]
local id = ARGV[1]
local m = redis.call('HMGET', MESSAGE .. id, 's', 'x', 'f', 'l', 'c')
if not m[1] then return { 'not_found' } end
if not m[2] or (m[1] ~= 'dead' and m[1] ~= 'unknown') then return { 'not_dead' } end
remove_dead_letter(id, m[2], m[3])
cancel(id, m[1], 'dropped by a person', m[4], ARGV[2])
finish()
return { 'dropped', event_of(m[5]) }
