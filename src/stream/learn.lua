--[[ A notice of a payment joins the others of its payment.
  KEYS[1] tag   ARGV[1] the message id that the event gives   ARGV[2] layout version   ARGV[3] the notice, JSON
  ARGV[4] how long they are kept from now on, ms; '' where nobody says that it is paid: UNPAID_MS from the first one on
  Returns all of them in the order they came, and last whether this one was there before: '1' or '0'; or 'moved' alone.
  Fence: none is needed, one that is there is not added again. ]]
if has_moved(ARGV[2]) then return { 'moved' } end
local name = NOTICES .. ARGV[1]
local all = redis.call('LRANGE', name, 0, -1)
local known = '0'
for _, notice in ipairs(all) do
  if notice == ARGV[3] then known = '1' end
end
if known == '0' then
  redis.call('RPUSH', name, ARGV[3])
  all[#all + 1] = ARGV[3]
end
if ARGV[4] == '' then
  redis.call('PEXPIRE', name, UNPAID_MS, 'NX')
  redis.call('SET', NOTICED, 1, 'PX', UNPAID_MS)
else
  redis.call('PEXPIRE', name, ARGV[4])
end
all[#all + 1] = known
return all
