--[[ Watches Redis's clock. When it was set back, what waits would wait for as long as the clock has gone back, and the
  leases of workers that are gone would not run out: then all that waits is moved back by as much, and all leases begin anew.
  KEYS[1] tag   ARGV[1] Redis's time at the caller's last call, epoch ms, 0: this is its first   ARGV[2] ms since then
  ARGV[3] at most so many messages are moved in this call
  Returns Redis's time, epoch ms; ms that the clock was set back, 0: it was not; how many are still to be moved.
  Fence: the two sets are put aside in the call that finds out, so that what is scheduled from then on stays as it is. A
  message that has moved on meanwhile is left alone. What a crash interrupts goes on with the next call. ]]
local KEEP_MS, TOLERANCE_MS = 10000, 5000
local REWIND_DUE, REWIND_HELD = REWIND .. ':due', REWIND .. ':held'

local function renew_leases()
  for rank = 0, 2 do
    rank = tostring(rank)
    local from = '-'
    repeat
      local pending = redis.pcall('XPENDING', QUEUE[rank], GROUP, from, '+', 500)
      if pending.err then break end
      for _, p in ipairs(pending) do
        from = '(' .. p[1]
        redis.call('XCLAIM', QUEUE[rank], GROUP, p[2], 0, p[1], 'JUSTID')
      end
    until #pending < 500
  end
end

local seen = tonumber(redis.call('GET', SEEN) or 0)
local expected = math.max(seen, tonumber(ARGV[1]) > 0 and ARGV[1] + ARGV[2] or 0)
local back = expected - AT
local is_back = back > TOLERANCE_MS and redis.call('EXISTS', REWIND) == 0
if is_back then
  if redis.call('EXISTS', DUE) == 1 then redis.call('RENAME', DUE, REWIND_DUE) end
  if redis.call('EXISTS', HELD) == 1 then redis.call('RENAME', HELD, REWIND_HELD) end
  -- Moved since the clock was set: this is so new that it counts by the new clock.
  local since = AT - (tonumber(ARGV[1]) > 0 and ARGV[2] or TOLERANCE_MS)
  redis.call('SET', REWIND, string.format('%.0f %.0f %.0f', back, since, AT))
  renew_leases()
end
if is_back or AT - seen >= KEEP_MS then redis.call('SET', SEEN, AT_TEXT) end

--[[ Of a set that was put aside, back into its own. ]]
local function move_back(aside, set, waits, limit, by, since, till)
  local popped = redis.call('ZPOPMIN', aside, limit)
  for i = 1, #popped, 2 do
    local id, score = popped[i], popped[i + 1]
    local m = redis.call('HMGET', MESSAGE .. id, 's', 'l')
    if m[1] and waits[m[1]] and not redis.call('ZSCORE', set, id) then
      local last = tonumber(string.match(string.sub(m[2], -1000), '(%d+)|[^\n]*\n$') or 0)
      local is_new = last >= since and last <= till
      if score ~= 'inf' and not is_new then
        score = string.format('%.0f', score - by)
        redis.call('HSET', MESSAGE .. id, 'd', score)
      end
      redis.call('ZADD', set, score, id)
    end
  end
  return #popped / 2
end

local left = 0
local by, since, till = string.match(redis.call('GET', REWIND) or '', '^(%d+) (%d+) (%d+)$')
if by then
  by, since, till = tonumber(by), tonumber(since), tonumber(till)
  local limit = tonumber(ARGV[3])
  local waiting = { scheduled = true, deferred = true, unknown = true }
  limit = limit - move_back(REWIND_DUE, DUE, waiting, limit, by, since, till)
  if limit > 0 then move_back(REWIND_HELD, HELD, { held = true }, limit, by, since, till) end
  left = redis.call('ZCARD', REWIND_DUE) + redis.call('ZCARD', REWIND_HELD)
  if left == 0 then redis.call('DEL', REWIND) end
end
return { AT, is_back and back or 0, left }
