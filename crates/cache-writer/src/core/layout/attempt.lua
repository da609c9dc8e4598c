-- The beginning of each script: a command that fails is noted in `refused` and gives nil, and the script goes on.
local refused

local function attempt(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    refused = reply.err
    return nil
  end
  return reply
end

