//! What an exact cache reports and holds when Redis has lost its data on the way.

use std::collections::BTreeMap;

use discord_sim::truth::Truth;
use serde_json::Value;

use super::check::Expected;

/// One loss, as places among a shard's events in the order of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The first event that may have been applied to the old data, to the new, or to both. What it reports as `old` is not
    /// compared; the same as `empty_from` if it is known which events were applied to which.
    pub unsure_from: usize,
    /// The first event of which it is sure that it was applied to the new data, and the first that this data knows.
    pub empty_from: usize,
}

/// All losses of a run, by shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    shards: BTreeMap<u32, Vec<Loss>>,
}

impl Losses {
    /// Notes a loss. A shard's losses are noted in their order.
    pub fn add(&mut self, shard: u32, loss: Loss) {
        self.shards.entry(shard).or_default().push(loss);
    }

    /// Whether nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Gives each event the `old` that a cache reports which was emptied at each loss, and returns what it holds at the end.
    #[must_use]
    pub fn retell(&self, sent: &mut BTreeMap<u32, Vec<Expected>>) -> BTreeMap<String, Value> {
        let mut entries = BTreeMap::new();
        for (shard, events) in sent {
            let losses = self.shards.get(shard).map_or(&[][..], Vec::as_slice);
            for (key, value) in retell(losses, events).entries() {
                // `bot_user` is on every shard, but only shard 0 is told of its updates.
                entries
                    .entry(key.to_owned())
                    .or_insert_with(|| value.clone());
            }
        }
        entries
    }
}

fn retell(losses: &[Loss], events: &mut [Expected]) -> Truth {
    let mut truth = Truth::new();
    let empties = |at: usize| losses.iter().any(|loss| loss.empty_from == at);
    for (at, event) in events.iter_mut().enumerate() {
        if empties(at) {
            truth = Truth::new();
        }
        event.old_unsure = losses
            .iter()
            .any(|loss| (loss.unsure_from..loss.empty_from).contains(&at));
        let data = serde_json::from_str(&event.data).ok();
        event.old = data
            .filter(|_| event.deliverable)
            .and_then(|data: Value| truth.apply(&event.session, &event.name, &data));
    }
    if empties(events.len()) {
        truth = Truth::new();
    }
    truth
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn events(names: &[&str]) -> BTreeMap<u32, Vec<Expected>> {
        let event = |(n, name): (u64, &&str)| Expected {
            session: "s".into(),
            seq: n,
            name: (*name).into(),
            data: json!({"guild_id": "1", "role": {"id": "2", "name": n.to_string()}})
                .to_string()
                .into(),
            old: None,
            old_unsure: false,
            deliverable: true,
        };
        [(0, (0..).zip(names).map(event).collect())].into()
    }

    #[test]
    fn what_was_before_a_loss_is_nobodys_old_after_it() {
        let mut losses = Losses::default();
        assert!(losses.is_empty());
        let (unsure_from, empty_from) = (2, 3);
        losses.add(
            0,
            Loss {
                unsure_from,
                empty_from,
            },
        );
        let update = "GUILD_ROLE_UPDATE";
        let mut sent = events(&["GUILD_ROLE_CREATE", update, update, update, update]);
        let truth = losses.retell(&mut sent);
        let name = |at: usize| sent[&0][at].old.as_ref().map(|old| old["name"].clone());
        assert_eq!(name(1), Some(json!("0")));
        assert_eq!((name(3), name(4)), (None, Some(json!("3"))));
        let unsure: Vec<_> = sent[&0].iter().map(|event| event.old_unsure).collect();
        assert_eq!(unsure, [false, false, true, false, false]);
        assert_eq!(truth["role:1:2"]["name"], "4");
    }

    #[test]
    fn a_loss_after_the_last_event_leaves_nothing() {
        let mut losses = Losses::default();
        losses.add(
            0,
            Loss {
                unsure_from: 1,
                empty_from: 1,
            },
        );
        assert!(
            losses
                .retell(&mut events(&["GUILD_ROLE_CREATE"]))
                .is_empty()
        );
    }
}
