--[[ HELD -> HELD: the booking store was asked in vain, or there is none.
  KEYS[1] tag   ARGV[1] message id   ARGV[2] times asked with this one   ARGV[3] '1' when a person must decide now
  Returns 1, or 0: it was decided meanwhile, nothing written.   Fence: the state. ]]
local id = ARGV[1]
if redis.call('HGET', MESSAGE .. id, 's') ~= 'held' then return 0 end
redis.call('HSET', MESSAGE .. id, 'w', ARGV[2])
if ARGV[3] == '1' then redis.call('ZADD', HELD, '+inf', id) end
return 1
