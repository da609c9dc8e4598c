//! Which total of shards writes a guild.
//!
//! With another total a guild has another shard, and so another partition, and nothing orders the
//! two. So each guild remembers the total that told of it whole last (GUILD_CREATE), and when. What
//! comes under another total is published and leaves the cache alone, until a later GUILD_CREATE
//! takes the guild over: what an old shard's partition still holds can't undo what the new one has
//! written.

use serde::Deserialize;

use super::entity::Entity;

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) shard: u32,
    pub(super) total: u32,
    pub(super) received_us: u64,
}

/// What an event may do to a guild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// The guild is written by its total.
    Writes,
    /// It is from now on.
    Takes,
    /// Another total writes the guild.
    Nothing,
}

/// What an event of this origin may do; `noted` is the cached text of [`Entity::Total`], and
/// `takes` whether the event is one that can take the guild over.
pub(super) fn right(noted: Option<&str>, origin: Origin, takes: bool) -> Right {
    match noted.and_then(|noted| serde_json::from_str(noted).ok()) {
        Some(Noted { total, .. }) if total == u64::from(origin.total) => Right::Writes,
        Some(Noted { since_us, .. }) if takes && since_us < origin.received_us => Right::Takes,
        Some(_) => Right::Nothing,
        None if takes => Right::Takes,
        None => Right::Writes,
    }
}

/// Whether a new session of this origin may remove the guild if it does not list it.
pub(super) fn may_remove(noted: Option<&str>, origin: Origin) -> bool {
    right(noted, origin, true) != Right::Nothing
}

/// The text of [`Entity::Total`].
pub(super) fn note(origin: Origin) -> String {
    let Origin {
        total, received_us, ..
    } = origin;
    format!(r#"{{"total":{total},"since_us":{received_us}}}"#)
}

/// What is read to know the right to a guild.
pub(super) fn entity(guild: u64) -> Entity {
    Entity::Total(guild)
}

/// What [`note`] writes.
#[derive(Deserialize)]
struct Noted {
    total: u64,
    since_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_guild_create_takes_a_guild_and_nothing_else_does() {
        let origin = |total, received_us| Origin {
            shard: 0,
            total,
            received_us,
        };
        let noted = note(origin(8, 100));
        for (noted, origin, takes, expected) in [
            (None, origin(4, 5), false, Right::Writes),
            (None, origin(4, 5), true, Right::Takes),
            (Some("nonsense"), origin(4, 5), false, Right::Writes),
            (Some(noted.as_str()), origin(8, 5), false, Right::Writes),
            (Some(noted.as_str()), origin(8, 5), true, Right::Writes),
            (Some(noted.as_str()), origin(4, 500), false, Right::Nothing),
            (Some(noted.as_str()), origin(4, 99), true, Right::Nothing),
            (Some(noted.as_str()), origin(4, 101), true, Right::Takes),
        ] {
            assert_eq!(
                right(noted, origin, takes),
                expected,
                "{noted:?} {origin:?}"
            );
        }
    }
}
