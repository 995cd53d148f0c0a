--[[ Load for the post bench: EVENT (environment) with an id of its own in each request.
  Argument: eight characters that no other run has. ]]
local id_length = 16
local head = 'POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n'
  .. 'Authorization: Bearer ' .. os.getenv('KEY') .. '\r\nContent-Length: '
local pieces, run, count = {}, '', 0

function init(args)
  run = args[1]
  local event = os.getenv('EVENT')
  local from, length = 1, 0
  while true do
    local first, last = string.find(event, '@ID@', from, true)
    pieces[#pieces + 1] = string.sub(event, from, first and first - 1)
    length = length + #pieces[#pieces]
    if not first then break end
    length = length + id_length
    from = last + 1
  end
  pieces[1] = head .. length .. '\r\n\r\n' .. pieces[1]
end

function request()
  count = count + 1
  return table.concat(pieces, string.format('%s%08d', run, count))
end
