-- Changes indexes and counts what they list. KEYS: the hash of the counts, then one index for each change.
-- ARGV: now, then for each change: operation, family, when the ids expire, width of a count's step, number of ids, ids.
-- A key of a foreign type is left alone, and told at the end: all other changes are made.
local counts, now, at = KEYS[1], ARGV[1], 2

-- What a field of the counts changes by. Written at the end, once for each.
local changes = {}

local function count(field, by)
  if by then changes[field] = (changes[field] or 0) + by end
end

local function field(family, expiry, width)
  if expiry == 'inf' then return family end
  return family .. ':' .. string.format('%.0f', math.ceil(tonumber(expiry) / width) * width)
end

-- The index expires with its last id, which usually is the one that comes.
local function expire(key, expiry)
  if expiry == 'inf' then
    attempt('PERSIST', key)
    return
  end
  local latest = expiry
  if attempt('ZCOUNT', key, '(' .. expiry, '+inf') ~= 0 then
    latest = attempt('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
  end
  if latest ~= 'inf' then attempt('PEXPIREAT', key, latest) end
end

local function add_expiring(key, family, expiry, width, first, last)
  local alive = field(family, expiry, width)
  for i = first, last do
    local added = attempt('ZADD', key, 'NX', expiry, ARGV[i])
    if not added then return end
    if added == 0 then
      count(field(family, attempt('ZSCORE', key, ARGV[i]), width), -1)
      attempt('ZADD', key, expiry, ARGV[i])
    end
    count(alive, 1)
  end
  attempt('ZREMRANGEBYSCORE', key, '-inf', now)
  expire(key, expiry)
end

local function remove_expiring(key, family, width, first, last)
  for i = first, last do
    local before = attempt('ZSCORE', key, ARGV[i])
    if before == nil then return end
    if before then
      count(field(family, before, width), -1)
      attempt('ZREM', key, ARGV[i])
    end
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
  elseif operation == 'add_expiring' then
    add_expiring(key, family, expiry, width, first, last)
  else
    remove_expiring(key, family, width, first, last)
  end
end

for field, by in pairs(changes) do
  if by ~= 0 and attempt('HINCRBY', counts, field, by) == 0 then attempt('HDEL', counts, field) end
end

if refused then return redis.error_reply(refused) end
