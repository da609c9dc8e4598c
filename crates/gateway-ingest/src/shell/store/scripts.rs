//! What must happen on Redis in one step.
//!
//! The fields of the version before, which are the shard's number alone, are kept right in each step, so that processes of both versions
//! can run side by side while one replaces the other.

use std::collections::BTreeMap;

use dispatch_proto::{
    redis::{
        GIVEN_AWAY, OWNERS_HASH, OWNERS_VERSION, SESSIONS, SESSIONS_HASH, SHARDS, STATUSES,
        STATUSES_HASH, shard_field,
    },
    session::{SessionRecord, ShardStatus},
};
use redis::{RedisResult, Script};

use super::{Context, json};

/// Stores a session or a status only for the shard's owner: a process that lost a shard while it was frozen must not overwrite what its
/// successor stored. Returns the shards refused.
const STORE: &str = r"
local me = ARGV[1]
local refused = {}
for i = 2, #ARGV, 3 do
  local field, shard = ARGV[i], ARGV[i + 1]
  local older = redis.call('HGET', KEYS[1], shard)
  if redis.call('HGET', KEYS[1], field) == me and (not older or older == me) then
    redis.call('HSET', KEYS[2], field, ARGV[i + 2])
  else
    table.insert(refused, tonumber(shard))
  end
end
return refused";

/// Keys of [`OWN`] and [`LEAVE`].
const OWNER_KEYS: [&str; 4] = [OWNERS_HASH, SESSIONS_HASH, STATUSES_HASH, OWNERS_VERSION];

/// Names the owner. A session of the version before is taken over. Returns the owner before and the session of each shard.
const OWN: &str = r#"
local me, total = ARGV[1], ARGV[2]
local answer = {}
for i = 3, #ARGV, 2 do
  local field, shard = ARGV[i], ARGV[i + 1]
  local owner = redis.call('HGET', KEYS[1], shard) or redis.call('HGET', KEYS[1], field)
  redis.call('HSET', KEYS[1], field, me, shard, me)
  local older = redis.call('HGET', KEYS[2], shard)
  if older and string.find(older, '"shards_total":' .. total .. '}', 1, true) then
    redis.call('HSET', KEYS[2], field, older)
    redis.call('HDEL', KEYS[2], shard)
  end
  redis.call('HDEL', KEYS[3], shard)
  table.insert(answer, { owner, redis.call('HGET', KEYS[2], field) })
end
redis.call('INCR', KEYS[4])
return answer"#;

/// Stores the last session and status of each shard and clears its owner, if that is still this process.
const LEAVE: &str = r"
local me, successor = ARGV[1], ARGV[2]
for i = 3, #ARGV, 4 do
  local field, shard = ARGV[i], ARGV[i + 1]
  local older = redis.call('HGET', KEYS[1], shard)
  if redis.call('HGET', KEYS[1], field) == me and (not older or older == me) then
    if ARGV[i + 2] ~= '' then redis.call('HSET', KEYS[2], field, ARGV[i + 2]) end
    redis.call('HSET', KEYS[3], field, ARGV[i + 3])
    redis.call('HDEL', KEYS[1], field, shard)
    if successor ~= '' then redis.call('HSET', KEYS[1], field, successor) end
  end
end
redis.call('INCR', KEYS[4])";

/// Puts the keys that others read together from the hashes, to which every process adds its own shards: in one step, so that no
/// process writes what another has read before.
const SUMMARISE: &str = r#"
local total = ARGV[1]
local function all(hash, mark)
  local fields = redis.call('HGETALL', hash)
  local shards = {}
  for i = 1, #fields, 2 do
    local older = string.match(fields[i], '^%d+$')
    if older and string.find(fields[i + 1], mark, 1, true) then
      shards[tonumber(older)] = fields[i + 1]
    end
  end
  for i = 1, #fields, 2 do
    local of, shard = string.match(fields[i], '^(%d+):(%d+)$')
    if of == total then shards[tonumber(shard)] = fields[i + 1] end
  end
  local list = {}
  for shard = 0, tonumber(total) - 1 do table.insert(list, shards[shard]) end
  return '[' .. table.concat(list, ',') .. ']'
end
redis.call('SET', KEYS[1], all(KEYS[2], '"shards_total":' .. total .. '}'))
redis.call('SET', KEYS[3], all(KEYS[4], ''))
redis.call('SET', KEYS[5], total)"#;

pub(super) async fn store(
    context: &Context,
    hash: &str,
    values: &BTreeMap<u32, String>,
) -> RedisResult<Vec<u32>> {
    let script = Script::new(STORE);
    let mut call = script.prepare_invoke();
    call.key(context.config.name(OWNERS_HASH));
    call.key(context.config.name(hash)).arg(&context.instance);
    for (shard, value) in values {
        call.arg(shard_field(context.total, *shard));
        call.arg(*shard).arg(value);
    }
    let mut redis = context.config.redis.connection().await?;
    call.invoke_async(&mut redis).await
}

pub(super) async fn own(
    context: &Context,
    shards: &[u32],
) -> RedisResult<Vec<(Option<String>, Option<String>)>> {
    let script = Script::new(OWN);
    let mut call = script.prepare_invoke();
    for key in OWNER_KEYS {
        call.key(context.config.name(key));
    }
    call.arg(&context.instance).arg(context.total);
    for shard in shards {
        call.arg(shard_field(context.total, *shard)).arg(*shard);
    }
    let mut redis = context.config.redis.connection().await?;
    call.invoke_async(&mut redis).await
}

pub(super) async fn leave(
    context: &Context,
    shards: &[(u32, (Option<SessionRecord>, ShardStatus))],
    given: bool,
) -> RedisResult<()> {
    if shards.is_empty() {
        return Ok(());
    }
    let script = Script::new(LEAVE);
    let mut call = script.prepare_invoke();
    for key in OWNER_KEYS {
        call.key(context.config.name(key));
    }
    call.arg(&context.instance);
    call.arg(if given { GIVEN_AWAY } else { "" });
    for (shard, (session, status)) in shards {
        call.arg(shard_field(context.total, *shard)).arg(*shard);
        call.arg(session.as_ref().map(json).unwrap_or_default());
        call.arg(json(status));
    }
    let mut redis = context.config.redis.connection().await?;
    call.invoke_async(&mut redis).await
}

pub(super) async fn summarise(context: &Context) -> RedisResult<()> {
    let script = Script::new(SUMMARISE);
    let mut call = script.prepare_invoke();
    for key in [SESSIONS, SESSIONS_HASH, STATUSES, STATUSES_HASH, SHARDS] {
        call.key(context.config.name(key));
    }
    call.arg(context.total);
    let mut redis = context.config.redis.connection().await?;
    call.invoke_async(&mut redis).await
}
