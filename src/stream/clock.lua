--[[ Watches Redis's clock. When it was set back, what waits would wait for as long as the clock has gone back, and the
  leases of workers that are gone would not run out: then all that waits is moved back by as much, and all leases begin anew.
  KEYS[1] tag   ARGV[1] Redis's time at the caller's last call, epoch ms, 0: this is its first   ARGV[2] ms since then
  ARGV[3] times that the clock was set back, as that call said   ARGV[4] at most so many messages are moved in this call
  Returns Redis's time, epoch ms; ms that the clock was set back, 0: it was not; how many are still to be moved; how often
  the clock was set back.
  Fence: what a caller remembers counts for as long as nobody has seen another step, so that of several workers, or after
  a lost reply, a step is counted once. The two sets are put aside in the call that finds out, so that what is scheduled
  from then on stays as it is. A message that has moved on meanwhile is left alone. What a crash interrupts goes on with
  the next call.
  Not told apart: what was posted between the step and this call, and waits for longer than the step, is moved, too. ]]
local KEEP_MS = 10000
-- Below it nothing is done: what waits for less, as most does, is told apart by that.
local TOLERANCE_MS = 30000
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

local seen, steps = string.match(redis.call('GET', SEEN) or '', '^(%d+) (%d+)$')
seen, steps = tonumber(seen or 0), tonumber(steps or 0)
local remembers = tonumber(ARGV[1]) > 0 and tonumber(ARGV[3]) == steps
local back = math.max(seen, remembers and ARGV[1] + ARGV[2] or 0) - AT
local is_back = back > TOLERANCE_MS and redis.call('EXISTS', REWIND) == 0
if is_back then
  if redis.call('EXISTS', DUE) == 1 then redis.call('RENAME', DUE, REWIND_DUE) end
  if redis.call('EXISTS', HELD) == 1 then redis.call('RENAME', HELD, REWIND_HELD) end
  redis.call('SET', REWIND, string.format('%.0f %.0f', back, AT))
  steps = steps + 1
  renew_leases()
end
if is_back or AT - seen >= KEEP_MS then redis.call('SET', SEEN, string.format('%.0f %.0f', AT, steps)) end

--[[ Of a set that was put aside, back into its own. ]]
local function move_back(aside, set, waits, limit, by, till)
  local popped = redis.call('ZPOPMIN', aside, limit)
  for i = 1, #popped, 2 do
    local id, score = popped[i], popped[i + 1]
    local m = redis.call('HMGET', MESSAGE .. id, 's', 'l')
    if m[1] and waits[m[1]] and not redis.call('ZSCORE', set, id) then
      local last = tonumber(string.match(string.sub(m[2] or '', -1000), '(%d+)|[^\n]*\n$') or 0)
      -- Scheduled by the new clock: by the old one it would have been due before it was set back.
      local is_new = last <= till and score ~= 'inf' and score - last < by
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
local by, till = string.match(redis.call('GET', REWIND) or '', '^(%d+) (%d+)$')
if by then
  by, till = tonumber(by), tonumber(till)
  local limit = tonumber(ARGV[4])
  local waiting = { scheduled = true, deferred = true, unknown = true }
  limit = limit - move_back(REWIND_DUE, DUE, waiting, limit, by, till)
  if limit > 0 then move_back(REWIND_HELD, HELD, { held = true }, limit, by, till) end
  left = redis.call('ZCARD', REWIND_DUE) + redis.call('ZCARD', REWIND_HELD)
  if left == 0 then redis.call('DEL', REWIND) end
end
return { AT, is_back and back or 0, left, steps }
