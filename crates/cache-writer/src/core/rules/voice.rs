//! Voice states. The `member` inside stays there as sent and touches no cached member.

use std::borrow::Cow;

use super::{Outcome, in_guild};
use crate::core::{
    entity::Entity,
    object::Object,
    step::{Step, Steps},
    unusable::Unusable,
};

/// A channel of null: the user has left. Calls outside guilds are not cached.
pub(super) fn state_update(d: Object<'_>) -> Outcome<'_> {
    let Some(guild) = d.optional_id("guild_id")? else {
        return Ok(Steps::default());
    };
    let entity = Entity::Voice {
        guild,
        user: d.id("user_id")?,
    };
    if d.raw("channel_id").is_none() {
        return Err(Unusable::Missing("channel_id"));
    }
    let step = match d.optional_id("channel_id")? {
        Some(_) => Step::Replace {
            entity,
            value: Cow::Borrowed(d.text),
        },
        None => Step::Remove { entity },
    };
    Ok(in_guild(guild, vec![step]))
}
