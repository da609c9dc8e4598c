//! The indexes: which keys there are, without a scan. A public part of the cache, kept in every
//! layout.
//!
//! | key | kind | lists |
//! |---|---|---|
//! | `index:guilds` | set | every cached guild, stubs too |
//! | `index:private_channels` | set | every cached private channel |
//! | `index:channels:<guild>`, and so `roles`, `emojis`, `stickers`, `members`, `presences`, `voices`, `stages`, `scheduled_events`, `soundboard_sounds` | set | the ids of a guild's objects (users' ids for members, presences, voices) |
//! | `index:messages:<channel>` | sorted set | the ids of a channel's messages, scored by when they expire |
//! | `index:expiring_members:<guild>` | sorted set | the ids of a guild's members, instead of `index:members:<guild>`, while `STATE_MEMBER_TTL` is set (dispatch layout alone) |
//! | `index:counts` | hash | how many objects there are, see below |
//!
//! Ids are bare decimal numbers: Redis keeps a set of up to 512 of them as an array of 8 bytes
//! each. A score is milliseconds since 1970, or `+inf` where nothing expires. A sorted set loses
//! what has expired with each id that comes, and itself expires with its last id, or with one that
//! has left it since: it never points at keys that expired long ago. To read one, take what is above now: `ZRANGEBYSCORE
//! index:messages:<channel> (<now> +inf`.
//!
//! `index:counts` has a field for each plural name with the number of objects that don't expire, exact by construction:
//! it changes by the replies of `SADD` and `SREM` in the same transaction. What expires is counted
//! in fields `<plural>:<milliseconds since 1970>`, by the time at which it will be gone, rounded up
//! to 1/64 of its time to live (1 s at least): the number alive is the sum of the fields that lie
//! ahead, too high by at most what expires within one such step. An error can't build up, since
//! each field is forgotten once its time has come.

use crate::core::entity::{Family, Index};

/// The hash of the counts.
pub const COUNTS_KEY: &str = "index:counts";

/// Applies an [`IndexUpdate`], and counts.
///
/// A script rather than plain commands because the counts need the replies. Send its text (`EVAL`):
/// by its hash (`EVALSHA`) a restarted Redis would not know it, and inside `MULTI` the other
/// commands would be carried out nevertheless. Under load it is most of what Redis has to do, so
/// each call of a command in it counts.
pub const SCRIPT: &str = concat!(include_str!("attempt.lua"), include_str!("index.lua"));

/// Changes of indexes, at most [`super::PAGE`] ids in all, for one run of [`SCRIPT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexUpdate {
    /// The changes.
    pub changes: Vec<IndexChange>,
    /// The time in milliseconds since 1970.
    pub now_ms: u64,
}

/// Ids that come into an index or leave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexChange {
    /// The index.
    pub index: Index,
    /// Whether they come.
    pub add: bool,
    /// The ids, at least one.
    pub ids: Vec<u64>,
    /// The family's time to live in milliseconds; matters to sorted indexes only.
    pub ttl_ms: Option<u64>,
}

impl IndexUpdate {
    /// The script's keys.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let keys = self.changes.iter().map(|change| key(change.index));
        std::iter::once(COUNTS_KEY.to_owned()).chain(keys).collect()
    }

    /// The script's arguments: the time, then for each key the operation, the family, when the ids
    /// expire, the width of a count's step, the number of ids, and the ids.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::with_capacity(1 + self.changes.len() * 5 + self.size());
        arguments.push(self.now_ms.to_string());
        for change in &self.changes {
            arguments.push(change.operation().to_owned());
            arguments.push(change.index.family().plural().to_owned());
            let expiry = change
                .ttl_ms
                .map(|ttl_ms| self.now_ms.saturating_add(ttl_ms));
            arguments.push(expiry.map_or_else(|| "inf".to_owned(), |expiry| expiry.to_string()));
            arguments.push(change.ttl_ms.map_or(1, step_ms).to_string());
            arguments.push(change.ids.len().to_string());
            arguments.extend(change.ids.iter().map(u64::to_string));
        }
        arguments
    }

    pub(super) fn size(&self) -> usize {
        self.changes.iter().map(|change| change.ids.len()).sum()
    }
}

impl IndexChange {
    fn operation(&self) -> &'static str {
        match (self.index.is_sorted(), self.add) {
            (false, true) => "add",
            (false, false) => "remove",
            (true, true) => "add_expiring",
            (true, false) => "remove_expiring",
        }
    }
}

/// The width of a step in which expiring objects are counted, in milliseconds.
fn step_ms(ttl_ms: u64) -> u64 {
    (ttl_ms / 64).max(1_000)
}

/// What [`COUNTS_KEY`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The number of objects of each family that has an index.
    pub families: Vec<(Family, u64)>,
    /// Fields whose time has passed, to be taken out with `HDEL`.
    pub stale: Vec<String>,
}

/// Reads the fields of [`COUNTS_KEY`]; `now_ms` is the time in milliseconds since 1970. Fields of
/// other names are left alone.
#[must_use]
pub fn counts<'f>(fields: impl IntoIterator<Item = (&'f str, i64)>, now_ms: u64) -> Counts {
    let mut sums = [0_i64; Family::ALL.len()];
    let mut stale = Vec::new();
    for (field, count) in fields {
        let (plural, until) = match field.split_once(':') {
            Some((plural, until)) => (plural, parse_id(until)),
            None => (field, Some(u64::MAX)),
        };
        let position = Family::ALL
            .iter()
            .position(|family| family.plural() == plural);
        match (position, until) {
            (Some(position), Some(until)) if until > now_ms => {
                sums[position] = sums[position].saturating_add(count);
            }
            (Some(_), Some(_)) => stale.push(field.to_owned()),
            _ => {}
        }
    }
    let families = Family::ALL
        .into_iter()
        .zip(sums)
        .filter(|(family, _)| *family != Family::User);
    let families = families.map(|(family, sum)| (family, u64::try_from(sum).unwrap_or(0)));
    Counts {
        families: families.collect(),
        stale,
    }
}

/// The key of an index.
#[must_use]
pub fn key(index: Index) -> String {
    match index {
        Index::Guilds => "index:guilds".to_owned(),
        Index::PrivateChannels => "index:private_channels".to_owned(),
        Index::Guild { guild, family } => format!("index:{}:{guild}", family.plural()),
        Index::ExpiringMembers { guild } => format!("index:expiring_members:{guild}"),
        Index::Messages { channel } => format!("index:messages:{channel}"),
    }
}

/// The index that a key holds; none if it holds none.
#[must_use]
pub fn parse_key(key: &str) -> Option<Index> {
    let rest = key.strip_prefix("index:")?;
    let Some((name, id)) = rest.split_once(':') else {
        return match rest {
            "guilds" => Some(Index::Guilds),
            "private_channels" => Some(Index::PrivateChannels),
            _ => None,
        };
    };
    let id = parse_id(id)?;
    match name {
        "messages" => Some(Index::Messages { channel: id }),
        "expiring_members" => Some(Index::ExpiringMembers { guild: id }),
        _ => Family::from_plural(name)
            .filter(|family| Family::CHILDREN.contains(family))
            .map(|family| Index::Guild { guild: id, family }),
    }
}

/// A bare decimal number.
pub(in crate::core) fn parse_id(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
