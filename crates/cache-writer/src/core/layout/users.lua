-- Keeps the hash of users. KEYS: how many cached guilds each user is a member of, authors scored by when their newest
-- message expires, the users, the bot's user, then one set of a guild's members for each change.
-- ARGV: now, when messages expire, number of users, their ids and texts, number of authors, their ids, then for each
-- change: operation, number of ids, ids. The sets of members are those before the batch.
local memberships, authors, users, bot_user = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now, expiry, at = ARGV[1], ARGV[2], 3

local function next_argument()
  at = at + 1
  return ARGV[at - 1]
end

local bot = attempt('GET', bot_user)

local function is_bot(id)
  return bot and string.find(bot, '"' .. id .. '"', 1, true)
end

-- Drops those of the ids who are no members any more, unless they wrote what may be cached.
local function drop(ids)
  local unknown = {}
  for _, id in ipairs(ids) do
    if not is_bot(id) and not attempt('ZSCORE', authors, id) then unknown[#unknown + 1] = id end
  end
  if #unknown > 0 then attempt('HDEL', users, unpack(unknown)) end
end

for _ = 1, tonumber(next_argument()) do
  local id, text = next_argument(), next_argument()
  if not is_bot(id) then attempt('HSET', users, id, text) end
end
for _ = 1, tonumber(next_argument()) do
  attempt('ZADD', authors, expiry, next_argument())
end
for k = 5, #KEYS do
  local operation, gone = next_argument(), {}
  for _ = 1, tonumber(next_argument()) do
    local id = next_argument()
    local was_member = attempt('SISMEMBER', KEYS[k], id)
    if operation == 'join' and was_member == 0 then
      attempt('HINCRBY', memberships, id, 1)
    elseif operation == 'leave' and was_member == 1 then
      if (attempt('HINCRBY', memberships, id, -1) or 0) <= 0 then gone[#gone + 1] = id end
    end
  end
  if #gone > 0 then
    attempt('HDEL', memberships, unpack(gone))
    drop(gone)
  end
end

local expired = attempt('ZRANGEBYSCORE', authors, '-inf', now, 'LIMIT', 0, 100) or {}
if #expired > 0 then
  attempt('ZREM', authors, unpack(expired))
  local strangers = {}
  for _, id in ipairs(expired) do
    if attempt('HEXISTS', memberships, id) == 0 then strangers[#strangers + 1] = id end
  end
  drop(strangers)
end

if refused then return redis.error_reply(refused) end
