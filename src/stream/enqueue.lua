--[[ post -> HELD | SCHEDULED (delay > 0) | QUEUED | CANCELLED (rolled back before). Many events at once, each on its own.
  KEYS[1] tag   ARGV[1] dedup TTL, ms   ARGV[2] backlog limit, messages   ARGV[3] retention, ms
  then 2 for each event: a line of message id, rank, delay ms, first check-back ms (-1: not held), body hash,
    digest of the booking|of the recipient, event id; the event, JSON
  Returns a line for each event: 'new' | 'duplicate' | 'conflict' | 'full', message id, state, due (epoch ms).
  Fence: the body hash and the dedup window in the message's own hash, which is written last: what fails before it
  leaves nothing that counts, and the same call again is a first one.
  While its mail is owed an event makes no other message, however long ago it was posted.
  The message id comes from the event id. An event that is posted again after its dedup window, while the first
  message can still be looked up, makes a message with a number behind that id; the first one's hash says which. ]]
local ttl = tonumber(ARGV[1])
local window_end = string.format('%.0f', AT + ttl)
local room = tonumber(ARGV[2]) - redis.call('ZCARD', DUE) - redis.call('ZCARD', HELD)
for _, queue in pairs(QUEUE) do room = room - redis.call('XLEN', queue) end

local result = {}
local function answer(word, id, state, due)
  result[#result + 1] = word .. ' ' .. id .. ' ' .. state .. ' ' .. due
end

local function put(fields, name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

local due_times = {}
local function due_in(ms)
  due_times[ms] = due_times[ms] or string.format('%.0f', AT + ms)
  return due_times[ms]
end

local function next_generation(first)
  local id, generation = first, 1
  while redis.call('EXISTS', MESSAGE .. id) == 1 do
    generation = generation + 1
    id = first .. '.' .. generation
  end
  return id
end

--[[ The first message's hash answers for its event as long as the latest one is kept: expire() sees to both. ]]
local function point(first, id, hash)
  redis.call('HSET', MESSAGE .. first, 'c', hash, 'v', window_end, 'g', id)
  redis.call('PERSIST', MESSAGE .. first)
end

local ENDED = { sent = true, bounced = true, cancelled = true }

for i = 4, #ARGV, 2 do
  local first, rank, delay, check, hash, digests, event_id =
    string.match(ARGV[i], '^(%S+) (%d) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  delay, check = tonumber(delay), tonumber(check)
  -- EXISTS is a third of the price, and most are new.
  local m = redis.call('EXISTS', MESSAGE .. first) == 1 and redis.call('HMGET', MESSAGE .. first, 'c', 'v', 'g', 's', 'd') or {}
  local rolled_back = m[1] == '-'
  local known, state, due = m[3] or first, m[4], m[5]
  if m[3] then state, due = unpack(redis.call('HMGET', MESSAGE .. known, 's', 'd')) end
  if m[1] and not rolled_back and (tonumber(m[2]) > AT or state and not ENDED[state]) then
    if m[1] ~= hash then
      answer('conflict', known, '', 0)
    else
      answer('duplicate', known, state or 'unknown', due or 0)
    end
  elseif room <= 0 then
    answer('full', '', '', 0)
  else
    room = room - 1
    local id = m[4] and next_generation(first) or first
    local held = check >= 0
    due = due_in(held and check or delay)
    state = held and 'held' or delay > 0 and 'scheduled' or 'queued'
    posted[#posted + 1] = id .. '|' .. digests
    local fields = { 'p', rank, 'd', due, 'i', event_id, 'c', hash, 'v', window_end, 'e', ARGV[i + 1] }
    if held then put(fields, 'h', delay) end
    if rolled_back then
      -- It goes nowhere.
    elseif held then
      redis.call('ZADD', HELD, due, id)
    elseif delay > 0 then
      redis.call('ZADD', DUE, due, id)
    else
      put(fields, 'q', enqueue(rank, id))
    end
    local l = move(id, nil, state, '', 'posted', nil, fields)
    if id ~= first then point(first, id, hash) end
    if rolled_back then
      cancel(id, state, 'rolled back before it was posted', l, ARGV[3])
      state = 'cancelled'
    end
    answer('new', id, state, due)
  end
end
finish()
return table.concat(result, '\n')
