--[[ A notice of a payment joins the others of its payment.
  KEYS[1] tag of the first partition, for all of them   ARGV[1] the message id that the event gives there
  ARGV[2] the notice, JSON   ARGV[3] how long they are kept from now on, ms
  Returns all of them in the order they came, and last whether this one was there before: '1' or '0'.
  Fence: none is needed, one that is there is not added again. ]]
local name = NOTICES .. ARGV[1]
local all = redis.call('LRANGE', name, 0, -1)
local known = '0'
for _, notice in ipairs(all) do
  if notice == ARGV[2] then known = '1' end
end
if known == '0' then
  redis.call('RPUSH', name, ARGV[2])
  all[#all + 1] = ARGV[2]
end
redis.call('PEXPIRE', name, ARGV[3])
all[#all + 1] = known
return all
