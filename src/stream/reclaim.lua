--[[ SENDING -> UNKNOWN -> QUEUED | held | DEAD, for entries whose worker is gone.
  KEYS[1] tag   ARGV[1] consumer whose entries these are ('': anyone's)   ARGV[2] idle for at least, ms
  ARGV[3] retries allowed   ARGV[4] 'resend' | 'hold'   ARGV[5] at most so many for each rank
  Returns 5 for each message: message id, event id, attempt, owner, 'resend' | 'hold' | 'dead'.
  Fence: the pending list's idle time, which heartbeat.lua sets back. The attempt was recorded, so it is spent:
  a message that kills its worker each time runs out of them and is buried. ]]
local result = {}
for rank = 0, 2 do
  rank = tostring(rank)
  local query = { 'XPENDING', QUEUE[rank], GROUP, 'IDLE', ARGV[2], '-', '+', ARGV[5] }
  if ARGV[1] ~= '' then query[#query + 1] = ARGV[1] end
  local pending = redis.pcall(unpack(query))
  if pending.err then
    if not string.find(pending.err, 'NOGROUP', 1, true) then return pending end
    pending = {}
  end
  for _, p in ipairs(pending) do
    local entry, owner = p[1], p[2]
    local found = redis.call('XRANGE', QUEUE[rank], entry, entry)[1]
    local id = found and found[2][2] or ''
    local m = redis.call('HMGET', MESSAGE .. id, 's', 'n', 'b', 'l', 'i')
    remove(rank, entry)
    if m[1] == 'sending' then
      local reason = 'worker ' .. owner .. ' was lost during the attempt; the relay may have the mail'
      local fields = { 'o', '' }
      local fate = ARGV[4]
      if fate == 'hold' then
        lay_out(id, reason, 'worker-lost', fields)
      elseif tonumber(m[2]) - tonumber(m[3] or 0) > tonumber(ARGV[3]) then
        fate = 'dead'
        lay_out(id, reason, 'worker-lost', fields)
      else
        enqueue(rank, id)
      end
      local l = move(id, 'sending', 'unknown', m[2], reason, m[4], fields)
      if fate == 'resend' then move(id, 'unknown', 'queued', '', 'resend', l, {}) end
      if fate == 'dead' then move(id, 'unknown', 'dead', m[2], reason, l, {}) end
      local n = #result
      result[n + 1], result[n + 2], result[n + 3], result[n + 4], result[n + 5] = id, m[5], m[2], owner, fate
    elseif m[1] == 'queued' then
      enqueue(rank, id)
    end
  end
end
finish()
return result
