--[[ post -> HELD | SCHEDULED (delay > 0) | QUEUED | CANCELLED (rolled back before). Many events at once, each on its own.
  KEYS[1] tag   ARGV[1] dedup TTL, ms   ARGV[2] backlog limit, messages   ARGV[3] retention, ms   ARGV[4] layout version
  then 2 for each event: a text, and the event, JSON. The text: message id, 32 characters; '|', digest of the booking, '|',
    of the recipient, 8 each; line feed; plan (delay ms, first check-back ms or -1: not held, ms since it was accepted,
    and ' said' where the door has said something); tab; rank, one digit; body hash, 22; event id; then, where the plan
    says so, line feed and what was said
  Returns a line for each event, an empty one for the same as before it: 'new' | 'duplicate' | 'conflict' | 'full', state,
  due (epoch ms), and the message id where it is not the one in the event's text. 'moved' alone: another layout, nothing
  written.
  Fence: the event's key (field c, in keys.ts) in the message's own hash, which is written last: what fails before it
  leaves nothing that counts, and the same call again is a first one.
  The window counts at the time that the event was accepted, which is before it came here from the journal.
  While its mail is owed, or its message is kept that was cancelled or rolled back too late, an event makes no other one,
  however long ago it was posted.
  The message id comes from the event id. An event that is posted again after its dedup window, while the first
  message can still be looked up, makes a message with a number behind that id; the first one's hash says which. ]]
if has_moved(ARGV[4]) then return 'moved' end
local window_end = string.format('%013.0f', AT + tonumber(ARGV[1]))
local room = tonumber(ARGV[2]) - redis.call('ZCARD', DUE) - redis.call('ZCARD', HELD)
for _, queue in pairs(QUEUE) do room = room - redis.call('XLEN', queue) end

local result, last_answer = {}
local function answer(text, first, id)
  if id ~= first then text = text .. ' ' .. id end
  result[#result + 1] = text == last_answer and '' or text
  last_answer = text
end

--[[ Most events of a call have the same plan: what follows from it is worked out once. ]]
local plans = {}
local function plan_of(text)
  local delay, check, age, said = string.match(text, '^(%S+) (%S+) (%S+)(.*)$')
  local held = tonumber(check) >= 0
  local plan = {
    delay = delay,
    state = held and 'held' or tonumber(delay) > 0 and 'scheduled' or 'queued',
    due = string.format('%.0f', AT + (held and check or delay)),
    accepted_at = AT - age,
    said = said ~= '',
  }
  plan.answer = 'new ' .. plan.state .. ' ' .. plan.due
  plans[text] = plan
  return plan
end

local MAILED = { sent = true, bounced = true }

local NOTHING = {}

--[[ What is known of an event that was here before. `hash` is of the body that its id is taken by, if it is. ]]
local function look_up(first, accepted_at)
  local event_key, latest, kept, d, l, k = unpack(redis.call('HMGET', MESSAGE .. first, 'c', 'g', 's', 'd', 'l', 'k'))
  if not event_key then return NOTHING end
  if event_key == '-' then return { rolled_back = true } end
  local state = kept
  if latest then state, d, l, k = unpack(redis.call('HMGET', MESSAGE .. latest, 's', 'd', 'l', 'k')) end
  local ends, hash = window_of(event_key)
  local taken = tonumber(ends) > accepted_at or k or state and not MAILED[state]
  return { hash = taken and hash, id = latest or first, state = state, due = due_of(d, l), kept = kept }
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
local function point(first, id, event_key)
  local own_rank = rank_of(redis.call('HGET', MESSAGE .. first, 'c'))
  redis.call('HSET', MESSAGE .. first, 'c', own_rank .. string.sub(event_key, 2), 'g', id)
  redis.call('PERSIST', MESSAGE .. first)
end

--[[ Returns the timeline. ]]
local function write(id, plan, reason, event_key, json, ...)
  return move(id, nil, plan.state, '', reason, nil, 'c', event_key, 'e', json, ...)
end

local ids, keys, written = {}, {}, {}
for i = 5, #ARGV, 2 do
  local n = #ids + 1
  ids[n] = string.sub(ARGV[i], 1, 32)
  keys[n] = MESSAGE .. ids[n]
end
-- Asked once: mostly all are new.
local some_known = redis.call('EXISTS', unpack(keys)) > 0

for n, first in ipairs(ids) do
  local text, json = ARGV[3 + 2 * n], ARGV[4 + 2 * n]
  -- Columns: a pattern for the whole text took a twentieth of the script.
  local tab = string.find(text, '\t', 52, true)
  local planned, hash = string.sub(text, 52, tab - 1), string.sub(text, tab + 2, tab + 23)
  local plan = plans[planned] or plan_of(planned)
  local known = (some_known or written[first]) and look_up(first, plan.accepted_at) or NOTHING
  if known.hash == hash then
    answer('duplicate ' .. (known.state or 'unknown') .. ' ' .. known.due, first, known.id)
  elseif known.hash then
    answer('conflict - 0', first, known.id)
  elseif room <= 0 then
    answer('full - 0', first, first)
  else
    room = room - 1
    written[first] = true
    local id = known.kept and next_generation(first) or first
    local rank = string.sub(text, tab + 1, tab + 1)
    local id_end = plan.said and string.find(text, '\n', tab, true)
    local reason = id_end and 'posted; ' .. string.sub(text, id_end + 1) or 'posted'
    local event_key = rank .. window_end .. string.sub(text, tab + 2, id_end and id_end - 1 or -1)
    posted[#posted + 1] = id == first and string.sub(text, 1, 51) or id .. string.sub(text, 33, 51)
    local l
    if known.rolled_back then
      l = write(id, plan, reason, event_key, json, 'd', plan.due)
    elseif plan.state == 'held' then
      redis.call('ZADD', HELD, plan.due, id)
      write(id, plan, reason, event_key, json, 'd', plan.due, 'h', plan.delay)
    elseif plan.state == 'scheduled' then
      redis.call('ZADD', DUE, plan.due, id)
      write(id, plan, reason, event_key, json, 'd', plan.due)
    else
      write(id, plan, reason, event_key, json, 'q', enqueue(rank, id))
    end
    if id ~= first then point(first, id, event_key) end
    if known.rolled_back then
      cancel(id, plan.state, 'rolled back before it was posted', l, ARGV[3])
      answer('new cancelled ' .. plan.due, first, id)
    else
      answer(plan.answer, first, id)
    end
  end
end
finish()
return table.concat(result, '\n')
