--[[ SENDING -> UNKNOWN -> QUEUED | held | DEAD | CANCELLED, for entries whose worker is gone.
  KEYS[1] tag   ARGV[1] consumer whose entries these are ('': anyone's)   ARGV[2] idle for at least, ms
  ARGV[3] retries allowed   ARGV[4] 'resend' | 'hold'   ARGV[5] at most so many for each rank
  ARGV[6] consumer whose entries stay ('': none)   ARGV[7] deadline, epoch ms: from then on nothing is done
  Returns Redis's time, epoch ms; the most entries that were worked on for a rank, or -1: past the deadline; then 6 for
    each: message id, event id, attempt, owner, entry id,
    'resend' | 'hold' | 'dead' | 'cancelled' | 'deleted' (somebody took it out of its stream: nobody knows its message).
    A message that is QUEUED gets a new entry, and is not among them.
  Fence: the pending list's idle time, which heartbeat.lua sets back; and the deadline, since this call may have waited
  in Redis together with the heartbeats. The attempt was recorded, so it is spent: a message that kills its worker each
  time runs out of them and is buried. ]]
if AT >= tonumber(ARGV[7]) then return { AT, -1 } end
local result = { AT, 0 }
local function answer(id, event_id, attempt, owner, entry, fate)
  for _, v in ipairs({ id, event_id, attempt, owner, entry, fate }) do result[#result + 1] = v end
end

local function reclaim(rank, entry, owner)
  local found = redis.call('XRANGE', QUEUE[rank], entry, entry)[1]
  if not found then
    remove(rank, entry)
    return answer('', '', 0, owner, entry, 'deleted')
  end
  local id = found[2][2] or ''
  local m = redis.call('HMGET', MESSAGE .. id, 's', 'n', 'b', 'l', 'c', 'k', 'o')
  remove(rank, entry)
  -- It would be without an entry.
  if m[1] == 'queued' then return redis.call('HSET', MESSAGE .. id, 'q', enqueue(rank, id)) end
  if m[1] ~= 'sending' or entry_of(m[7]) ~= entry then return end

  local reason = 'worker ' .. owner .. ' was lost during the attempt; the relay may have the mail'
  local spent = tonumber(m[2]) - tonumber(m[3] or 0) > tonumber(ARGV[3])
  local fate = ARGV[4] == 'hold' and 'hold' or spent and 'dead' or 'resend'
  if m[6] then
    end_rolled_back(id, reason, m[4], m[6], 'unknown', m[2])
    return answer(id, event_of(m[5]), m[2], owner, entry, 'cancelled')
  end
  if fate ~= 'resend' then add_dead_letter(id, reason, 'worker-lost') end
  local l = move(id, 'sending', 'unknown', m[2], reason, m[4])
  if fate == 'resend' then move(id, 'unknown', 'queued', '', 'resend', l, 'q', enqueue(rank, id)) end
  if fate == 'dead' then move(id, 'unknown', 'dead', m[2], reason, l) end
  answer(id, event_of(m[5]), m[2], owner, entry, fate)
end

for rank = 0, 2 do
  rank = tostring(rank)
  local from, left = '-', tonumber(ARGV[5])
  repeat -- on past those that stay
    local query = { 'XPENDING', QUEUE[rank], GROUP, 'IDLE', ARGV[2], from, '+', ARGV[5] }
    if ARGV[1] ~= '' then query[#query + 1] = ARGV[1] end
    local pending = redis.pcall(unpack(query))
    if pending.err then
      if not string.find(pending.err, 'NOGROUP', 1, true) then return pending end
      pending = {}
    end
    for _, p in ipairs(pending) do
      from = '(' .. p[1]
      if p[2] ~= ARGV[6] and left > 0 then
        left = left - 1
        reclaim(rank, p[1], p[2])
      end
    end
  until left == 0 or #pending < tonumber(ARGV[5])
  result[2] = math.max(result[2], ARGV[5] - left)
end
finish()
return result
