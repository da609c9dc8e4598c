-- Changes indexes and counts what they list. KEYS: the hash of the counts, then one index for each change.
-- ARGV: now, then for each change: operation, family, when the ids expire, width of a count's step, number of ids, ids.
local counts, now, at = KEYS[1], ARGV[1], 2

local function count(field, by)
  if by ~= 0 and redis.call('HINCRBY', counts, field, by) == 0 then
    redis.call('HDEL', counts, field)
  end
end

local function field(family, expiry, width)
  if expiry == 'inf' then return family end
  return family .. ':' .. string.format('%.0f', math.ceil(tonumber(expiry) / width) * width)
end

for k = 2, #KEYS do
  local key, operation, family, expiry = KEYS[k], ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local width, n = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local first, last = at + 5, at + 4 + n
  at = last + 1
  if operation == 'add' then
    count(family, redis.call('SADD', key, unpack(ARGV, first, last)))
  elseif operation == 'remove' then
    count(family, -redis.call('SREM', key, unpack(ARGV, first, last)))
  else
    for i = first, last do
      local before = redis.call('ZSCORE', key, ARGV[i])
      if before then count(field(family, before, width), -1) end
      if operation == 'add_expiring' then
        redis.call('ZADD', key, expiry, ARGV[i])
        count(field(family, expiry, width), 1)
      elseif before then
        redis.call('ZREM', key, ARGV[i])
      end
    end
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    local latest = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
    if latest == 'inf' then
      redis.call('PERSIST', key)
    elseif latest then
      redis.call('PEXPIREAT', key, latest)
    end
  end
end
