//! The number of shards, which all processes agree on before they own any.

use std::time::Duration;

use dispatch_proto::redis::{PLAN, STARTED};
use dispatch_service::{discord::GatewayBot, health::Condition};
use redis::RedisResult;
use tokio_util::sync::CancellationToken;

use super::{members::ALIVE_MILLIS, store};
use crate::{config::Config, core::resume::Inherited, metrics};

/// Time until Redis is asked again: for an answer, or for the end of others.
const AGAIN: Duration = Duration::from_secs(1);

/// What the processes have agreed on.
#[derive(Debug)]
pub(super) struct Plan {
    /// The number of shards.
    pub(super) total: u32,
    pub(super) inherited: Inherited,
    /// No other process lived when this one said it.
    pub(super) first: bool,
}

/// Agrees on the number of shards: the first process says it, the others obey. One that has another number set (`SHARDS_TOTAL`) waits
/// until those that go by the old one have ended, which is `waits`. `None` if `stop` comes first.
pub(super) async fn agree(
    config: &Config,
    info: &GatewayBot,
    waits: &Condition,
    stop: &CancellationToken,
) -> Option<Plan> {
    let mut told = false;
    loop {
        let inherited = stop.run_until_cancelled(store::inherited(config)).await?;
        let wanted = wanted(config, info, &inherited);
        match propose(config, wanted).await {
            Ok((total, first)) if total == wanted || config.shards.total.is_none() => {
                return Some(Plan {
                    total,
                    inherited,
                    first,
                });
            }
            Ok((plan, _)) => {
                if !told {
                    tracing::warn!(
                        wanted,
                        plan,
                        "other processes hold another number of shards than SHARDS_TOTAL: waiting until they have ended"
                    );
                }
                told = true;
                // Ready, so that an update that replaces one process after the other goes on.
                waits.set(true);
            }
            Err(error) => tracing::warn!(%error, "cannot agree on the number of shards"),
        }
        stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await?;
    }
}

/// The number that was agreed on, which is `wanted` if there was none: then the gateway starts now, and this process is the first.
async fn propose(config: &Config, wanted: u32) -> RedisResult<(u32, bool)> {
    let mut redis = config.redis.connection().await?;
    let mut pipe = redis::pipe();
    pipe.cmd("SET").arg(config.name(PLAN)).arg(wanted);
    pipe.arg("NX").arg("PX").arg(ALIVE_MILLIS);
    pipe.get(config.name(PLAN));
    let (first, plan): (Option<String>, Option<String>) = pipe.query_async(&mut redis).await?;
    if first.is_some() {
        let mut pipe = redis::pipe();
        pipe.set(config.name(STARTED), store::timestamp()).ignore();
        pipe.exec_async(&mut redis).await?;
    }
    let plan = plan.and_then(|plan| plan.parse().ok());
    Ok((plan.unwrap_or(wanted), first.is_some()))
}

/// The number that this process would have: as it is set, else as it was while there are sessions to resume, else what Discord
/// recommends.
fn wanted(config: &Config, info: &GatewayBot, inherited: &Inherited) -> u32 {
    metrics::recommended_shards(info.shards);
    if let Some(total) = config.shards.total {
        return total;
    }
    let kept = inherited.total().filter(|_| config.resume);
    if let Some(kept) = kept.filter(|kept| *kept != info.shards) {
        tracing::warn!(
            total = kept,
            recommended = info.shards,
            "discord recommends another number of shards: keeping the one with sessions to resume (RESUME=false takes discord's)"
        );
    }
    kept.unwrap_or(info.shards)
}
