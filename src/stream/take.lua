--[[ QUEUED -> SENDING, for as many as the worker can begin at once. The attempt is recorded before it is tried.
  KEYS[1] tag   ARGV[1] consumer   ARGV[2] at most so many   ARGV[3..5] of these, first, for each rank
  Returns a line for each message, all of them in one string: claim, attempts before the last replay, times that the
    booking store was asked in vain. Then for each message its event, JSON: Lua hashes a string byte by byte, so these
    are not put together.
  Fence: the state. An entry whose message is not QUEUED is never handed out: cancelled, settled or replayed
  ones leave the stream, one that is being sent (the group was lost and made anew) goes back to its owner.
  An entry without a message is laid out as a dead letter, so that it cannot go round. ]]
local consumer, free = ARGV[1], tonumber(ARGV[2])
local MAX_LOOKED_AT = 1000
local lines, events = {}, {}

local function read(queue, count)
  local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', count, 'STREAMS', queue, '>')
  if reply and reply.err and string.find(reply.err, 'NOGROUP', 1, true) then
    redis.call('XGROUP', 'CREATE', queue, GROUP, '0', 'MKSTREAM')
    reply = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', count, 'STREAMS', queue, '>')
  end
  if reply and reply.err then return reply end
  return reply and reply[1][2] or {}
end

local function poison(rank, entry, fields)
  local id = 'msg_entry-' .. entry
  local reason = 'the entry names no message: ' .. string.sub(string.gsub(cjson.encode(fields), '%c', ' '), 1, 400)
  add_dead_letter(id, reason, 'entry-without-message')
  move(id, nil, 'dead', '', reason, nil, 'd', AT, 'c', rank, 'n', 0, 'e', '')
  remove(rank, entry)
end

local function hand_out(rank, entry, fields)
  local id = fields[1] == 'm' and fields[2] or ''
  local state, begun, json, l = unpack(redis.call('HMGET', MESSAGE .. id, 's', 'n', 'e', 'l'))
  if state == 'queued' then
    local attempt, before, asked = '1'
    if begun then
      attempt = string.format('%d', begun + 1)
      before, asked = unpack(redis.call('HMGET', MESSAGE .. id, 'b', 'w'))
    end
    move(id, 'queued', 'sending', attempt, '', l, 'n', attempt, 'o', entry .. ' ' .. consumer)
    local n = #lines + 1
    lines[n] = claim(rank, entry, id, attempt) .. ' ' .. (before or '0') .. ' ' .. (asked or '0')
    events[n] = json or ''
    return true
  elseif not state then
    return poison(rank, entry, fields)
  end
  local owner = state == 'sending' and redis.call('HGET', MESSAGE .. id, 'o')
  if owner and entry_of(owner) == entry then
    redis.call('XCLAIM', QUEUE[rank], GROUP, consumer_of(owner), 0, entry, 'JUSTID')
  else
    remove(rank, entry)
  end
end

--[[ Ranks without an entry that nobody has, or that nothing is to be taken from. ]]
local done = {}

--[[ Reads on past entries that are not handed out, such as those of messages that were rolled back. ]]
local function take(rank, count)
  local looked_at = 0
  while count > 0 and looked_at < MAX_LOOKED_AT do
    local entries = read(QUEUE[rank], count)
    if entries.err then return entries end
    done[rank] = #entries < count
    looked_at = looked_at + #entries
    for _, pair in ipairs(entries) do
      if hand_out(rank, pair[1], pair[2] or {}) then count, free = count - 1, free - 1 end
    end
    if done[rank] then return end
  end
end

for _, rank in ipairs(redis.call('SMEMBERS', PAUSED)) do done[rank] = true end
local waiting = 0
for rank, queue in pairs(QUEUE) do
  if redis.pcall('XLEN', queue) == 0 then done[rank] = true end
  if not done[rank] then waiting = waiting + 1 end
end
-- A single one is read once: it gets all there is.
for pass = waiting > 1 and 1 or 2, 2 do
  for rank = 0, 2 do
    local count = pass == 1 and math.min(free, tonumber(ARGV[3 + rank])) or free
    if count > 0 and not done[tostring(rank)] then
      local failed = take(tostring(rank), count)
      if failed and #lines == 0 then return failed end
    end
  end
end
finish()
return { table.concat(lines, '\n'), unpack(events) }
