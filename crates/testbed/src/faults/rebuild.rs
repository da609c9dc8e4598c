//! After Redis has lost its data: what it holds now, and how it gets the rest back.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::ARRIVE_LIMIT;
use super::commands;
use super::strike::Strike;
use crate::collector::check::Expected;
use crate::collector::losses::{Loss, Losses};
use crate::stack::Stack;
use crate::wait;

/// Longest time for every shard to have a new session.
const IDENTIFY_LIMIT: Duration = Duration::from_secs(20);

/// Families that GUILD_CREATE brings whole. The others come with later events: messages, and members and presences of guilds
/// above the large threshold.
const REBUILT: [&str; 8] = [
    "guild:",
    "role:",
    "emoji:",
    "sticker:",
    "stage:",
    "scheduled_event:",
    "soundboard_sound:",
    "voice:",
];

/// For each shard, how many of its events had been applied.
pub(super) type Applied = BTreeMap<u32, usize>;

/// What has been applied, seen by what has arrived. Exact only while Redis is away and the rest works.
pub(super) fn applied(stack: &Stack) -> Applied {
    let sent = stack.sent();
    let ledger = stack.collector.ledger();
    sent.iter()
        .map(|(shard, events)| {
            let arrived = |event: &Expected| ledger.arrival(&event.session, event.seq).is_some();
            (
                *shard,
                events.iter().rposition(arrived).map_or(0, |last| last + 1),
            )
        })
        .collect()
}

/// To be called when no load runs: compares the cache with what an emptied one holds, rebuilds it in the documented way, and
/// compares it with the truth. Returns what is wrong.
///
/// # Errors
///
/// If a server doesn't answer, or there are no new sessions.
pub(super) async fn rebuild(
    stack: &Stack,
    round: &[Strike],
    applied: &Applied,
    losses: &mut Losses,
) -> Result<Vec<String>> {
    stack.sim.quiet(ARRIVE_LIMIT).await;
    stack.arrived(&stack.sent(), ARRIVE_LIMIT).await?;
    let unsure = super::loses_track(round);
    if unsure {
        // Nobody can say what it holds of what was in flight. Empty, it is known again.
        stack.servers.redis.flush().await?;
    }
    let sent = stack.sent();
    for (shard, unsure_from) in applied {
        let (shard, unsure_from) = (*shard, *unsure_from);
        let empty_from = if unsure {
            sent.get(&shard).map_or(0, Vec::len)
        } else {
            unsure_from
        };
        let loss = Loss {
            unsure_from,
            empty_from,
        };
        losses.add(shard, loss);
    }
    let report = stack.check_after(losses, ARRIVE_LIMIT).await?;
    let mut faults = Vec::new();
    if report.cache_differences > 0 {
        let samples = report.samples.join("\n    ");
        let count = report.cache_differences;
        faults.push(format!(
            "{count} cache keys that differ after the loss\n    {samples}"
        ));
    }

    let identifies = stack.sim.identifies();
    commands::identify_anew(&stack.servers.rabbitmq.url(), stack.shards).await?;
    let anew = async || stack.sim.identifies() >= identifies + u64::from(stack.shards);
    wait::until("new sessions", IDENTIFY_LIMIT, anew).await?;
    stack.sim.quiet(ARRIVE_LIMIT).await;
    let arrived = stack.arrived(&stack.sent(), ARRIVE_LIMIT).await;
    arrived.context("after the rebuild")?;

    let rebuilt = losses.retell(&mut stack.sent());
    let missing = not_rebuilt(&stack.sim.truth(), &rebuilt);
    if let Some(first) = missing.first() {
        let count = missing.len();
        faults.push(format!("{count} keys are not rebuilt, {first} among them"));
    }
    Ok(faults)
}

/// Keys of the rebuilt families whose value is not the truth's. Of a guild with an outage Discord tells nothing.
fn not_rebuilt(truth: &BTreeMap<String, Value>, rebuilt: &BTreeMap<String, Value>) -> Vec<String> {
    let family = |key: &&String| REBUILT.iter().any(|family| key.starts_with(family));
    let told = |key: &&String| {
        let guild = key.split(':').nth(1).unwrap_or_default();
        let guild = truth.get(&format!("guild:{guild}"));
        guild.is_none_or(|guild| guild["unavailable"] != true)
    };
    truth
        .keys()
        .filter(family)
        .filter(told)
        .filter(|key| truth.get(*key) != rebuilt.get(*key))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_guild_is_rebuilt_unless_it_has_an_outage() {
        let truth = |away: bool| {
            let keys = ["guild:1", "role:1:2", "emoji:1:3"];
            let value = json!({"id": "1", "unavailable": away});
            BTreeMap::from(keys.map(|key| (key.to_owned(), value.clone())))
        };
        assert_eq!(not_rebuilt(&truth(false), &BTreeMap::new()).len(), 3);
        assert!(not_rebuilt(&truth(true), &BTreeMap::new()).is_empty());
        assert!(not_rebuilt(&truth(false), &truth(false)).is_empty());
    }
}
