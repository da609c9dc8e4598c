-- Changes indexes and counts what they list. KEYS: the hash of the counts, then one index for each change.
-- ARGV: now, then for each change: operation, family, when the ids expire, width of a count's step, number of ids, ids.
-- A key of a foreign type is left alone, and told at the end: all other changes are made.
local counts, now, at = KEYS[1], ARGV[1], 2

local function count(field, by)
  if by and by ~= 0 and attempt('HINCRBY', counts, field, by) == 0 then
    attempt('HDEL', counts, field)
  end
end

local function field(family, expiry, width)
  if expiry == 'inf' then return family end
  return family .. ':' .. string.format('%.0f', math.ceil(tonumber(expiry) / width) * width)
end

local function change_sorted(key, operation, family, expiry, width, first, last)
  for i = first, last do
    local before = attempt('ZSCORE', key, ARGV[i])
    if before == nil then return end
    if before then count(field(family, before, width), -1) end
    if operation == 'add_expiring' then
      attempt('ZADD', key, expiry, ARGV[i])
      count(field(family, expiry, width), 1)
    elseif before then
      attempt('ZREM', key, ARGV[i])
    end
  end
  attempt('ZREMRANGEBYSCORE', key, '-inf', now)
  local latest = attempt('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
  if latest == 'inf' then
    attempt('PERSIST', key)
  elseif latest then
    attempt('PEXPIREAT', key, latest)
  end
end

for k = 2, #KEYS do
  local key, operation, family, expiry = KEYS[k], ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local width, n = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local first, last = at + 5, at + 4 + n
  at = last + 1
  if operation == 'add' then
    count(family, attempt('SADD', key, unpack(ARGV, first, last)))
  elseif operation == 'remove' then
    local removed = attempt('SREM', key, unpack(ARGV, first, last))
    count(family, removed and -removed)
  else
    change_sorted(key, operation, family, expiry, width, first, last)
  end
end

if refused then return redis.error_reply(refused) end
