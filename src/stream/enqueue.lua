--[[ post -> HELD | SCHEDULED (delay > 0) | QUEUED | CANCELLED (rolled back before). Many events at once, each on its own.
  KEYS[1] tag   ARGV[1] dedup TTL, ms   ARGV[2] backlog limit, messages   ARGV[3] retention, ms
  then 9 for each event: message id, event id, body hash, rank, delay ms, first check-back ms (-1: not held),
    booking bucket, recipient bucket, event JSON
  Returns 4 for each event: 'new' | 'duplicate' | 'conflict' | 'full', message id, state, due (epoch ms).
  Fence: the idempotency key. It is written last: whatever fails before it, the same call again repairs.
  The message id comes from the event id. One that is posted again after its dedup window, while the first
  message can still be looked up, gets a number behind it. ]]
local room = tonumber(ARGV[2]) - redis.call('ZCARD', DUE) - redis.call('ZCARD', HELD)
for _, queue in pairs(QUEUE) do room = room - redis.call('XLEN', queue) end

local result = {}
local function answer(word, id, state, due)
  local n = #result
  result[n + 1], result[n + 2], result[n + 3], result[n + 4] = word, id, state, due
end

for i = 4, #ARGV, 9 do
  local id, event_id, hash, rank = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local delay, check = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  local seen = redis.call('GET', DEDUP .. event_id)
  local known, known_hash = string.match(seen or '', '^(%S+) (%S+)$')
  local rolled_back = known_hash == '-'
  if known and not rolled_back then
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
    local held = check >= 0
    local due = string.format('%.0f', AT + (held and check or delay))
    local state = held and 'held' or delay > 0 and 'scheduled' or 'queued'
    local fields = { 'p', rank, 'd', due, 'n', '0', 'i', event_id, 'e', ARGV[i + 8] }
    if held then fields[11], fields[12] = 'h', delay end
    local l = move(id, nil, state, '', 'posted', nil, fields)
    redis.call('RPUSH', FIND .. ARGV[i + 6], id)
    redis.call('RPUSH', FIND .. ARGV[i + 7], id)
    if rolled_back then
      cancel(id, state, 'rolled back before it was posted', l, ARGV[3])
      state = 'cancelled'
    elseif held then
      redis.call('ZADD', HELD, due, id)
    elseif delay > 0 then
      redis.call('ZADD', DUE, due, id)
    else
      enqueue(rank, id)
    end
    redis.call('SET', DEDUP .. event_id, id .. ' ' .. hash, 'PX', ARGV[1])
    answer('new', id, state, due)
  end
end
finish()
return result
