--[[ What all transitions share. Redis's own clock decides. It is read once: Redis 7.0 lets it go on while a script runs.
  A script reads and checks before it writes: Lua does not roll back. ]]
local AT = now()
-- As text once: Lua prints a number anew for each command that it is given to.
local AT_TEXT = string.format('%.0f', AT)
local out, into, removed, told, posted = {}, {}, {}, {}, {}

--[[ A timeline that grew without end (nobody decides, a store is away for days) loses its middle. ]]
local MAX_TIMELINE = 16000
local function shortened(l)
  if #l <= MAX_TIMELINE then return l end
  return string.match(string.sub(l, 1, MAX_TIMELINE / 4), '^(.*\n)') .. string.match(string.sub(l, -MAX_TIMELINE / 2), '\n(.*)$')
end

--[[ The end of a line for the feed, and the line for the timeline. Of a call's transitions many have the same. ]]
local last_to, last_attempt, last_reason, last_end, last_line
local function lines_of(to, attempt, reason)
  if last_to ~= to or last_attempt ~= attempt or last_reason ~= reason then
    last_to, last_attempt, last_reason = to, attempt, reason
    last_end = '|' .. to .. '|' .. attempt .. '|' .. reason .. '\n'
    last_line = AT_TEXT .. last_end
  end
  return last_end, last_line
end

--[[ Writes one transition into the message's hash, the feed and the counters. `l` is the timeline so far; behind it
  may stand more pairs for the hash. Returns the timeline.
  Call `finish()` last: it writes what is written once for all of them. ]]
local function move(id, from, to, attempt, reason, l, ...)
  local line_end, line = lines_of(to, attempt, reason)
  l = l and shortened(l) .. line or line
  redis.call('HSET', MESSAGE .. id, 's', to, 'l', l, ...)
  local n = #told
  told[n + 1], told[n + 2] = id, line_end
  if to == 'unknown' then redis.call('HSET', MESSAGE .. id, 'u', 1) end
  if from then out[from] = (out[from] or 0) + 1 end
  into[to] = (into[to] or 0) + 1
  return l
end

--[[ `posted`, each with its line feed, goes to the end of the last chunk. ]]
local function list_posted()
  local chunk = redis.call('LINDEX', POSTED, -1)
  if not chunk then
    chunk = '1'
    redis.call('RPUSH', POSTED, chunk)
  end
  local name = POSTED .. ':' .. chunk
  if redis.call('APPEND', name, table.concat(posted)) < CHUNK_LENGTH then return end
  redis.call('RPUSH', POSTED, string.format('%d', chunk + 1))
  -- A string that grew has twice the memory of its copy.
  redis.call('COPY', name, POSTED .. ':copy', 'REPLACE')
  redis.call('RENAME', POSTED .. ':copy', name)
end

local function finish()
  for rank, entries in pairs(removed) do
    redis.call('XACK', QUEUE[rank], GROUP, unpack(entries))
    redis.call('XDEL', QUEUE[rank], unpack(entries))
  end
  -- By pcall: a feed, lists or counters that somebody has broken must not stop a mail half-way.
  if told[1] then
    local function tell(at)
      return redis.pcall('XADD', FEED, 'MAXLEN', '~', FEED_LENGTH, 'LIMIT', FEED_TRIM, at, 't', table.concat(told))
    end
    -- The time of the timelines. After a clock that was put back the feed goes on from where it was.
    if tell(AT_TEXT .. '-*').err then tell('*') end
  end
  if posted[1] then pcall(list_posted) end
  for state, count in pairs(out) do redis.pcall('HINCRBY', COUNTS, 'out:' .. state, count) end
  for state, count in pairs(into) do redis.pcall('HINCRBY', COUNTS, 'in:' .. state, count) end
end

--[[ Returns the entry's id, for the message's field q. ]]
local function enqueue(rank, id)
  return redis.call('XADD', QUEUE[rank], '*', 'm', id)
end

--[[ Takes an entry out of its stream and of the pending list, in `finish()`: no entry waits there for a retry. ]]
local function remove(rank, entry)
  local entries = removed[rank] or {}
  entries[#entries + 1] = entry
  removed[rank] = entries
end

--[[ The fence of a layout: whether the caller has another one than this partition. A caller with version 0 has none, one
  with -1 does not know it yet. ]]
local function has_moved(version)
  if version == '0' then return false end
  local layout = redis.call('GET', LAYOUT)
  if not layout then return version == '-1' end
  return string.match(layout, '^%d+') ~= version
end

--[[ A message that did not wait for its first attempt has no d: it was due when it was posted. ]]
local function due_of(d, l) return d or string.match(l or '0', '^%d+') end

--[[ Of the fields c and o. ]]
local function rank_of(c) return string.sub(c, 1, 1) end
local function event_of(c) return string.sub(c or '', 37) end
local function window_of(c) return string.sub(c, 2, 14), string.sub(c, 15, 36) end
local function entry_of(owner) return string.match(owner, '^%S*') end
local function consumer_of(owner) return string.match(owner, ' (.*)$') end

--[[ What a worker owns is named by its claim: rank, entry id, message id, attempt. ]]
local function claim(rank, entry, id, attempt) return rank .. ' ' .. entry .. ' ' .. id .. ' ' .. attempt end
local function claim_of(text) return string.match(text, '^(.) ([^ ]+) ([^ ]*) (.+)$') end

--[[ The fence of all settlements: the timeline, if `consumer` still owns this very attempt, else false. A message
  that is queued again gets another entry, so the entry stands for the attempt.
  Second: false, or the retention in ms of a message that was rolled back meanwhile. ]]
local function owned(id, consumer, entry)
  local m = redis.call('HMGET', MESSAGE .. id, 's', 'o', 'l', 'k')
  if m[1] ~= 'sending' or m[2] ~= entry .. ' ' .. consumer then return false, false end
  return m[3], m[4]
end

--[[ A message that has ended lives on for the retention, and with it the first one of its event, which points to it. ]]
local function expire(id, retention)
  redis.call('PEXPIRE', MESSAGE .. id, retention)
  local dot = string.find(id, '.', 1, true)
  if dot then redis.call('PEXPIRE', MESSAGE .. string.sub(id, 1, dot - 1), retention) end
end

local function cancel(id, from, reason, l, retention)
  if from == 'queued' then
    local m = redis.call('HMGET', MESSAGE .. id, 'c', 'q')
    if m[2] then remove(rank_of(m[1]), m[2]) end
  end
  move(id, from, 'cancelled', '', reason, l)
  redis.call('HDEL', MESSAGE .. id, 'k')
  expire(id, retention)
end

--[[ Writes fields and list entry of a dead letter or a held UNKNOWN. ]]
local function add_dead_letter(id, reason, fingerprint)
  local entry = redis.call('XADD', DEAD, '*', 'm', id, 'f', fingerprint)
  redis.call('HSET', MESSAGE .. id, 'x', entry, 'r', reason, 'f', fingerprint, 't', AT_TEXT)
  redis.call('HINCRBY', DEAD_GROUPS, fingerprint, 1)
end

--[[ The reverse. ]]
local function remove_dead_letter(id, entry, fingerprint)
  redis.call('XDEL', DEAD, entry)
  if redis.call('HINCRBY', DEAD_GROUPS, fingerprint, -1) <= 0 then redis.call('HDEL', DEAD_GROUPS, fingerprint) end
  redis.call('HDEL', MESSAGE .. id, 'x', 'r', 'f', 't', 'w')
end

--[[ The message of an event, the latest one; `first` is the id that the event gives. Nil when there is none; second:
  whether it was rolled back before it was posted. ]]
local function message_of(first)
  local m = redis.call('HMGET', MESSAGE .. first, 's', 'g', 'c')
  if m[2] and redis.call('EXISTS', MESSAGE .. m[2]) == 1 then return m[2], false end
  return m[1] and first or nil, m[3] == '-'
end

--[[ The message was rolled back during its attempt, which ended in `outcome`: no other attempt follows. More pairs as in
  move. ]]
local function end_rolled_back(id, reason, timeline, retention, outcome, attempt, ...)
  timeline = move(id, 'sending', outcome, attempt, reason, timeline, ...)
  cancel(id, outcome, 'rolled back while it was being sent', timeline, retention)
end

--[[ The frame of the ways out of SENDING (WAYS_OUT in settle.ts).
  ARGV[1] consumer   ARGV[2] retention, ms   then 2 + `more` for each message: claim, reason, and what the way adds
  ends_as(attempt, ...): state, attempt for the timeline, and further pairs, as which the attempt of a message ends that
    was rolled back meanwhile: it is CANCELLED after that. Nil: a rollback changes nothing.
  write(id, attempt, reason, timeline, rank, ...): writes the transition. Both get what the way adds last.
  Returns for each message 1, or 0: not the owner, nothing written.   Fence: owned(). ]]
local function settle_each(more, ends_as, write)
  local result = {}
  for i = 3, #ARGV, 2 + more do
    local rank, entry, id, attempt = claim_of(ARGV[i])
    local timeline, rolled_back = owned(id, ARGV[1], entry)
    local reason = ARGV[i + 1]
    if timeline then
      remove(rank, entry)
      if rolled_back and ends_as then
        end_rolled_back(id, reason, timeline, rolled_back, ends_as(attempt, ARGV[i + 2], ARGV[i + 3]))
      else
        write(id, attempt, reason, timeline, rank, ARGV[i + 2], ARGV[i + 3])
      end
    end
    result[#result + 1] = timeline and 1 or 0
  end
  finish()
  return table.concat(result, ' ')
end
