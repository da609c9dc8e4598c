//! The budget of identifies that all processes share, on Redis.

use std::time::Duration;

use dispatch_proto::redis::IDENTIFIES;
use dispatch_service::redis_link::RedisLink;
use redis::{RedisResult, Script};

use crate::{
    config::Config,
    core::identify::{Answer, Ask},
};

/// Longest wait for Redis: a shard that may not identify waits anyway.
const LIMIT: Duration = Duration::from_secs(2);

/// Spends an identify, if the bucket is free and more than the reserve is left. Times are Redis's own, in milliseconds.
///
/// A reading counts if it is newer than the last that came in. What was spent while Discord was being asked it may not show. Where the
/// budget is lost, each bucket is free only after one whole wait, because nobody knows who has identified just now; that is not so where the
/// asking process is the first there is.
const SPEND: &str = r"
local bucket, buckets, wait, reserve, low = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local remaining, total, resets_in, read_ago, first = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function field(name) return tonumber(redis.call('HGET', KEYS[1], name) or '0') end

if redis.call('HGET', KEYS[1], 'buckets') ~= buckets then
  local known = redis.call('EXISTS', KEYS[1]) == 1
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'buckets', buckets, 'since', (first == '1' and not known) and 0 or now)
end
local left, resets = field('left'), field('resets')
local read, new_resets = now - read_ago, now - read_ago + resets_in
if read > field('read') then
  local raced = field('spent') + 1000 > read and now < resets and math.abs(new_resets - resets) < 60000
  left = (raced and left < remaining) and left or remaining
  resets = new_resets
  redis.call('HSET', KEYS[1], 'read', read, 'resets', resets)
end
if now >= resets then
  left, resets = tonumber(total), now + 86400000
  redis.call('HSET', KEYS[1], 'resets', resets)
end
local used = math.max(field('used:' .. bucket), field('since'))
local ago = math.max(now - used, 0)
local granted = 0
if ago >= wait and not (left - reserve < low and used > read) and left > reserve then
  granted = 1
  left = left - 1
  redis.call('HSET', KEYS[1], 'used:' .. bucket, now, 'spent', now)
end
redis.call('HSET', KEYS[1], 'left', left)
redis.call('PEXPIRE', KEYS[1], 172800000)
return { granted, left, ago }";

/// The budget on Redis.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    redis: RedisLink,
    key: String,
    /// No other process lived when this one came.
    first: bool,
}

impl Budget {
    pub(crate) fn new(config: &Config, first: bool) -> Self {
        Self {
            redis: config.redis.clone(),
            key: config.name(IDENTIFIES).into_owned(),
            first,
        }
    }

    /// Asks it; `None` if it does not answer.
    pub(crate) async fn ask(&self, ask: Ask) -> Option<Answer> {
        match tokio::time::timeout(LIMIT, self.spend(ask)).await {
            Ok(Ok((granted, left, ago))) => Some(Answer {
                granted: granted == 1,
                left,
                used_ago: Some(Duration::from_millis(ago)),
            }),
            Ok(Err(error)) => {
                tracing::debug!(%error, "redis does not say whether a shard may identify");
                None
            }
            Err(_) => None,
        }
    }

    async fn spend(&self, ask: Ask) -> RedisResult<(u8, u32, u64)> {
        let millis = |time: Duration| time.as_millis() as u64;
        let script = Script::new(SPEND);
        let mut call = script.prepare_invoke();
        call.key(&self.key).arg(ask.bucket).arg(ask.buckets);
        call.arg(millis(ask.wait)).arg(ask.reserve).arg(ask.low);
        call.arg(ask.read.remaining).arg(ask.read.total);
        call.arg(millis(ask.read.reset_after));
        call.arg(millis(ask.read_ago)).arg(u8::from(self.first));
        let mut redis = self.redis.connection().await?;
        call.invoke_async(&mut redis).await
    }
}
