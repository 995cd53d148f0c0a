--[[ HELD -> HELD, for those that nobody has decided in time: who calls asks the booking store about them.
  KEYS[1] tag   ARGV[1] at most so many   then the delays of the check-backs, ms, first to last
  Returns ms until the next is due (-1: none waits), then 4 for each: message id, event id, times asked with this one,
  event JSON.   Fence: the next check-back is set before the answer is known, so a crash only asks again;
  undecided.lua counts an answer. ]]
local result = { -1 }
for _, id in ipairs(redis.call('ZRANGE', HELD, '-inf', AT, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local m = redis.call('HMGET', MESSAGE .. id, 's', 'w', 'c', 'e')
  if m[1] == 'held' then
    local asked = tonumber(m[2] or 0) + 1
    local next_at = AT + ARGV[math.min(2 + asked, #ARGV)]
    redis.call('HSET', MESSAGE .. id, 'd', next_at)
    redis.call('ZADD', HELD, next_at, id)
    for _, v in ipairs({ id, event_of(m[3]), asked, m[4] }) do result[#result + 1] = v end
  else
    redis.call('ZREM', HELD, id)
  end
end
local next = redis.call('ZRANGE', HELD, 0, 0, 'WITHSCORES')
if next[2] and next[2] ~= 'inf' then result[1] = math.max(0, tonumber(next[2]) - AT) end
return result
