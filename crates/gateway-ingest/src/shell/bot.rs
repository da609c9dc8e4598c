//! Whose shards these are, and whether the names on the servers are another bot's.

use dispatch_proto::redis::BOT_USER;
use dispatch_service::{
    discord::{Client, Failure},
    identity::{AnotherBot, Bot, bot_of},
};
use tokio_util::sync::CancellationToken;

use super::store;
use crate::config::Config;

/// The bot, by now named on Redis; `None` if it can't be known, or `stop` comes first.
///
/// # Errors
///
/// If the names are another bot's.
pub(crate) async fn identify(
    config: &Config,
    client: &Client,
    stop: &CancellationToken,
) -> Result<Option<Bot>, AnotherBot> {
    let in_token = bot_of(config.discord.token.reveal());
    let predecessor = store::predecessors_user(config);
    let predecessor = stop.run_until_cancelled(predecessor).await.flatten();
    let differs = predecessor.is_some_and(|user| Some(user) != in_token);
    let asked = match in_token.is_none() || differs {
        true => stop.run_until_cancelled(client.current_user()).await,
        false => None,
    };
    let asked = asked.and_then(|asked| asked.inspect_err(not_told).ok());
    // Over another program's state a bot is refused only if Discord too says that it is another one.
    if let (Some(ours), Some(theirs)) = (in_token.filter(|id| asked == Some(*id)), predecessor) {
        AnotherBot::compare(ours, theirs, BOT_USER)?;
    }
    let Some(id) = in_token.or(asked) else {
        return Ok(None);
    };
    let bot = Bot {
        id,
        lasting: in_token.is_some(),
        redis: config.redis.clone(),
        namespace: config.namespace.clone(),
    };
    bot.claim(stop).await?;
    Ok(Some(bot))
}

fn not_told(failure: &Failure) {
    tracing::warn!(
        %failure,
        "cannot ask discord which bot this is: not compared with what redis holds"
    );
}
