--[[ SCHEDULED | DEFERRED | UNKNOWN -> QUEUED, for what is due.
  KEYS[1] tag   ARGV[1] at most so many
  Returns ms until the next is due (-1: none waits), then 2 for each message: message id, event id.
  Fence: the due set; what another call promoted is no longer in it. ]]
local result = { -1 }
local ids = redis.call('ZRANGE', DUE, '-inf', AT, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
  local m = redis.call('HMGET', MESSAGE .. id, 's', 'c', 'l')
  if m[1] == 'scheduled' or m[1] == 'deferred' or m[1] == 'unknown' then
    move(id, m[1], 'queued', '', m[1] == 'unknown' and 'resend' or '', m[3], 'q', enqueue(rank_of(m[2]), id))
    result[#result + 1], result[#result + 2] = id, event_of(m[2])
  end
  redis.call('ZREM', DUE, id)
end
finish()
local next = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
if next[2] then result[1] = math.max(0, tonumber(next[2]) - AT) end
return result
