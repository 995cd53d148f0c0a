--[[ post -> SCHEDULED (delay > 0) | QUEUED. Many events at once, each on its own.
  KEYS[1] tag   ARGV[1] dedup TTL, ms   ARGV[2] backlog limit, messages
  then 8 for each event: message id, event id, body hash, rank, delay ms, booking bucket, recipient bucket, event JSON
  Returns 4 for each event: 'new' | 'duplicate' | 'conflict' | 'full', message id, state, due (epoch ms).
  Fence: the idempotency key. It is written last: whatever fails before it, the same call again repairs.
  The message id comes from the event id. One that is posted again after its dedup window, while the first
  message can still be looked up, gets a number behind it. ]]
local room = tonumber(ARGV[2]) - redis.call('ZCARD', DUE)
for _, queue in pairs(QUEUE) do room = room - redis.call('XLEN', queue) end

local result = {}
local function answer(word, id, state, due)
  local n = #result
  result[n + 1], result[n + 2], result[n + 3], result[n + 4] = word, id, state, due
end

for i = 3, #ARGV, 8 do
  local id, event_id, hash, rank, delay = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4])
  local seen = redis.call('GET', DEDUP .. event_id)
  if seen then
    local known, known_hash = string.match(seen, '^(%S+) (%S+)$')
    if known_hash ~= hash then
      answer('conflict', known, '', 0)
    else
      local m = redis.call('HMGET', MESSAGE .. known, 's', 'd')
      answer('duplicate', known, m[1] or 'unknown', m[2] or 0)
    end
  elseif room <= 0 then
    answer('full', '', '', 0)
  else
    room = room - 1
    local base, generation = id, 1
    while redis.call('EXISTS', MESSAGE .. id) == 1 do
      generation = generation + 1
      id = base .. '.' .. generation
    end
    local due = AT + delay
    local state = delay > 0 and 'scheduled' or 'queued'
    move(id, nil, state, '', 'posted', nil, { 'p', rank, 'd', due, 'n', 0, 'i', event_id, 'e', ARGV[i + 7] })
    redis.call('ZADD', FIND .. ARGV[i + 5], AT, id)
    redis.call('ZADD', FIND .. ARGV[i + 6], AT, id)
    if delay > 0 then redis.call('ZADD', DUE, due, id) else enqueue(rank, id) end
    redis.call('SET', DEDUP .. event_id, id .. ' ' .. hash, 'PX', ARGV[1])
    answer('new', id, state, due)
  end
end
finish()
return result
