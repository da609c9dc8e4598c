//! Members and their presences.

use std::borrow::Cow;

use super::{Listed, Outcome, child_id, in_guild, is_offline};
use crate::core::{
    entity::{Entity, Family},
    object::Object,
    step::{Merging, Step},
};

/// Discord may repeat it, so the guild counts only members that are not cached yet; where members
/// are not cached, only who has not come lately.
pub(super) fn add(d: Object<'_>) -> Outcome<'_> {
    let (guild, user) = (d.id("guild_id")?, d.nested("user")?.id("id")?);
    let entity = Entity::Member { guild, user };
    let arrival = Entity::Arrival { guild, user };
    let steps = vec![
        member_count(guild, true, vec![entity, arrival]),
        Step::Store {
            entity,
            value: Cow::Borrowed(d.text),
        },
        Step::Store {
            entity: arrival,
            value: Cow::Borrowed("{}"),
        },
    ];
    Ok(in_guild(guild, steps))
}

/// May come before GUILD_CREATE, so it is stored without one if it is a whole member.
pub(super) fn update(d: Object<'_>) -> Outcome<'_> {
    let (guild, user) = (d.id("guild_id")?, d.nested("user")?.id("id")?);
    let entity = Entity::Member { guild, user };
    // `joined_at` is null for a guest.
    let whole =
        (d.has(&["roles"]) && d.raw("joined_at").is_some()).then_some(Cow::Borrowed(d.text));
    Ok(in_guild(
        guild,
        vec![Step::Merge {
            entity,
            patch: d,
            whole,
            mode: Merging::Fields,
        }],
    ))
}

/// The member, and its presence with it. Its voice state goes with the VOICE_STATE_UPDATE that
/// follows: nothing else says which channel was left.
pub(super) fn remove(d: Object<'_>) -> Outcome<'_> {
    let (guild, user) = (d.id("guild_id")?, d.nested("user")?.id("id")?);
    let steps = vec![
        member_count(guild, false, Vec::new()),
        Step::Remove {
            entity: Entity::Member { guild, user },
        },
        Step::Discard {
            entity: Entity::Presence { guild, user },
        },
        Step::Discard {
            entity: Entity::Arrival { guild, user },
        },
    ];
    Ok(in_guild(guild, steps))
}

pub(super) fn chunk(d: Object<'_>) -> Outcome<'_> {
    let guild = d.id("guild_id")?;
    let members = d.list("members")?;
    let presences = d.optional_list("presences")?.unwrap_or_default();
    let mut chunk = in_guild(guild, Vec::with_capacity(members.len() + presences.len()));
    let members = members.into_iter().map(|text| (Family::Member, text));
    let presences = presences.into_iter().map(|text| (Family::Presence, text));
    for (family, text) in members.chain(presences) {
        match Listed::parse(guild, family, text) {
            Some(listed) => chunk.steps.push(listed.store()),
            None => chunk.skipped += 1,
        }
    }
    Ok(chunk)
}

/// Its `user` is partial. Offline is what no presence means: nothing is kept of it.
pub(super) fn presence_update(d: Object<'_>) -> Outcome<'_> {
    let guild = d.id("guild_id")?;
    let user = child_id(Family::Presence, &d)?;
    let entity = Entity::Presence { guild, user };
    if is_offline(&d) {
        return Ok(in_guild(guild, vec![Step::Remove { entity }]));
    }
    let whole = Some(Cow::Borrowed(d.text));
    let step = Step::Merge {
        entity,
        patch: d,
        whole,
        mode: Merging::FieldsAndUser,
    };
    Ok(in_guild(guild, vec![step]))
}

fn member_count<'a>(guild: u64, up: bool, unless: Vec<Entity>) -> Step<'a> {
    let entity = Entity::Guild(guild);
    Step::Adjust {
        entity,
        field: "member_count",
        up,
        by: 1,
        unless,
        old: false,
    }
}
