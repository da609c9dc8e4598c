//! Whose names these are: two bots that meet under the same names on RabbitMQ and Redis would take each other's commands, sessions
//! and state, so the second one is refused.
//!
//! gateway-ingest names its bot on Redis; every service compares. A bot is its user's id, which the first part of its token holds
//! too. A token without it is a simulator's: its bot is named only while it runs, so that another may follow it on the same servers,
//! and of the services gateway-ingest alone compares.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use dispatch_proto::{namespace::Namespace, redis::BOT};
use redis::{RedisError, Script};
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    redis_link::RedisLink,
    settings::{Reader, catalogue::BOT_TOKEN},
    start::Refused,
};

/// How often a running service looks: another bot may have come first while Redis was away, or empty.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a bot that is named only while it runs stays named without a sign of life.
const NAMED_MS: u64 = 20_000;

/// Names the bot ARGV[1] unless another one is named, for ARGV[2] milliseconds or, if that is 0, for good. Returns who is named.
const CLAIM: &str = r"
local named = redis.call('GET', KEYS[1])
if named and named ~= ARGV[1] then return named end
if ARGV[2] == '0' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return ARGV[1]";

/// Another bot has these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the names on RabbitMQ and Redis belong to another bot (user {theirs}, this one is {ours}): set NAMESPACE, different for \
     each bot that shares servers; or, if that bot is gone for good, delete {key} on Redis"
)]
pub struct AnotherBot {
    /// Id of the bot that came first.
    pub theirs: u64,
    /// Id of this one.
    pub ours: u64,
    /// The key that says so, without its namespace.
    pub key: &'static str,
}

impl AnotherBot {
    /// Refuses if the bot that `key` names is not ours.
    ///
    /// # Errors
    ///
    /// Then.
    pub fn compare(ours: u64, theirs: u64, key: &'static str) -> Result<(), Self> {
        match ours == theirs {
            true => Ok(()),
            false => Err(Self { theirs, ours, key }),
        }
    }
}

/// The bot's user id that stands in its token; `None` if the token has another form.
#[must_use]
pub fn bot_of(token: &str) -> Option<u64> {
    let (id, _) = token.split_once('.')?;
    let id = STANDARD_NO_PAD.decode(id.trim_end_matches('=')).ok()?;
    let id = std::str::from_utf8(&id).ok()?.parse().ok()?;
    (id > 0).then_some(id)
}

/// A bot that is to be named on Redis.
#[derive(Clone, Debug)]
pub struct Bot {
    /// Its user's id.
    pub id: u64,
    /// Whether it stays named when it has ended.
    pub lasting: bool,
    /// Where it is named.
    pub redis: RedisLink,
    /// Under which names.
    pub namespace: Namespace,
}

impl Bot {
    /// Names the bot, unless another one is named; tried until Redis answers. `Ok` also if `stop` comes first.
    ///
    /// # Errors
    ///
    /// If another bot is named there.
    pub async fn claim(&self, stop: &CancellationToken) -> Result<(), AnotherBot> {
        let mut backoff = Backoff::default();
        loop {
            match stop.run_until_cancelled(self.attempt()).await {
                None => return Ok(()),
                Some(Ok(claimed)) => return claimed,
                Some(Err(error)) => {
                    let delay = backoff.next_delay();
                    tracing::warn!(%error, retry_in_ms = delay.as_millis(), "redis does not answer");
                    stop.run_until_cancelled(sleep(delay)).await;
                }
            }
        }
    }

    /// Keeps it named. Returns when another one is.
    pub async fn keep(&self) -> AnotherBot {
        another(|| self.attempt()).await
    }

    async fn attempt(&self) -> Result<Result<(), AnotherBot>, RedisError> {
        let script = Script::new(CLAIM);
        let mut call = script.key(self.namespace.name(BOT));
        call.arg(self.id)
            .arg(if self.lasting { 0 } else { NAMED_MS });
        let named: String = call
            .invoke_async(&mut self.redis.connection().await?)
            .await?;
        Ok(compare(self.id, Some(&named)))
    }
}

fn compare(bot: u64, named: Option<&str>) -> Result<(), AnotherBot> {
    let named = named.and_then(|named| named.parse().ok());
    named.map_or(Ok(()), |named| AnotherBot::compare(bot, named, BOT))
}

/// Looks again and again, until it finds another bot. What is wrong with Redis, the service itself says.
async fn another<F>(look: impl Fn() -> F) -> AnotherBot
where
    F: Future<Output = Result<Result<(), AnotherBot>, RedisError>>,
{
    let mut interval = interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Ok(Err(another)) = look().await {
            return another;
        }
    }
}

/// What a service beside gateway-ingest needs to notice that it works under another bot's names.
#[derive(Clone, Debug)]
pub struct Guard {
    redis: RedisLink,
    namespace: Namespace,
    bot: Option<u64>,
}

impl Guard {
    /// Reads `BOT_TOKEN`, which may be missing.
    pub fn read(reader: &mut Reader, redis: RedisLink, namespace: Namespace) -> Self {
        let token = reader.text(&BOT_TOKEN);
        let token = token.split_whitespace().last().unwrap_or_default();
        Self {
            redis,
            namespace,
            bot: bot_of(token),
        }
    }

    /// Runs the service to its end, which comes soon after `stop`. It is stopped when another bot is found to have these names.
    ///
    /// # Errors
    ///
    /// What `run` fails with, or [`Refused`].
    pub async fn run(
        self,
        stop: CancellationToken,
        run: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        tokio::pin!(run);
        tokio::select! {
            biased;
            another = self.another() => {
                stop.cancel();
                run.await?;
                Err(Refused(another.into()).into())
            }
            result = &mut run => result,
        }
    }

    /// Returns when another bot has these names.
    async fn another(&self) -> AnotherBot {
        match self.bot {
            Some(bot) => another(|| self.look(bot)).await,
            None => std::future::pending().await,
        }
    }

    async fn look(&self, bot: u64) -> Result<Result<(), AnotherBot>, RedisError> {
        let mut get = redis::cmd("GET");
        get.arg(self.namespace.name(BOT));
        let mut redis = self.redis.connection().await?;
        let named: Option<String> = get.query_async(&mut redis).await?;
        Ok(compare(bot, named.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_whose_it_is() {
        let id = Some(1_022_511_483_445_412_345);
        for token in [
            "MTAyMjUxMTQ4MzQ0NTQxMjM0NQ.GhunTr.2-9Jk_abc",
            "MTAyMjUxMTQ4MzQ0NTQxMjM0NQ==.G.x",
        ] {
            assert_eq!(bot_of(token), id, "{token}");
        }
        for token in [
            "",
            "sim-token",
            "a.b.c",
            ".x.y",
            "eA.b.c",
            "MTAyMjUxMTQ4MzQ0NTQxMjM0NQ",
        ] {
            assert_eq!(bot_of(token), None, "{token}");
        }
    }

    #[test]
    fn only_another_bot_is_refused() {
        assert_eq!(compare(1, None), Ok(()));
        assert_eq!(compare(1, Some("1")), Ok(()));
        assert_eq!(compare(1, Some("what is that")), Ok(()));
        let refused = compare(1, Some("2")).unwrap_err();
        assert_eq!((refused.theirs, refused.ours), (2, 1));
        let message = refused.to_string();
        assert!(
            message.contains("NAMESPACE") && message.contains(BOT),
            "{message}"
        );
    }
}
