//! The users of the Spectacles layout: `USERS` holds who is a cached member of some guild, who wrote
//! a message that may still be cached, and the bot.
//!
//! Its bookkeeping: `dispatch:user_guilds`, a hash with the number of cached guilds of each member,
//! and `dispatch:authors`, a sorted set of authors scored by when their newest message expires. So
//! the hash is bounded by what else is cached.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{dispatch, index, nulls::without_nulls};
use crate::core::{
    entity::{Entity, Family, Index},
    object::Object,
    settings::Settings,
    write::Write,
};

/// The hash of the users.
pub const USERS_KEY: &str = "USERS";

/// The most users, authors and members of one run: each takes several steps.
const PAGE: usize = super::PAGE / 4;

const MEMBERSHIPS_KEY: &str = "dispatch:user_guilds";
const AUTHORS_KEY: &str = "dispatch:authors";

/// Applies a [`UsersUpdate`]. It looks at the indexes of members as they stood before the batch, so
/// it runs before the one that changes them.
pub const SCRIPT: &str = concat!(include_str!("attempt.lua"), include_str!("users.lua"));

/// What a batch says about users, for one run of [`SCRIPT`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsersUpdate<'w> {
    /// The time in milliseconds since 1970.
    pub now_ms: u64,
    /// When messages of this batch expire, in the same unit; none = never.
    pub expiry_ms: Option<u64>,
    /// Ids and JSON texts of users that were seen.
    pub users: Vec<(u64, Cow<'w, str>)>,
    /// Ids of who wrote messages.
    pub authors: Vec<u64>,
    /// Members by guild, and whether they are cached from now on or no longer.
    pub members: Vec<(u64, bool, Vec<u64>)>,
}

impl UsersUpdate<'_> {
    /// The script's keys.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let bot = dispatch::key(Entity::BotUser);
        let keys = [MEMBERSHIPS_KEY, AUTHORS_KEY, USERS_KEY, &bot].map(str::to_owned);
        let members = self.members.iter().map(|(guild, ..)| {
            index::key(Index::Guild {
                guild: *guild,
                family: Family::Member,
            })
        });
        keys.into_iter().chain(members).collect()
    }

    /// The script's arguments.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let expiry = self.expiry_ms.map(|expiry| expiry.to_string());
        let mut arguments = vec![
            self.now_ms.to_string(),
            expiry.unwrap_or_else(|| "inf".to_owned()),
            self.users.len().to_string(),
        ];
        for (id, text) in &self.users {
            arguments.extend([id.to_string(), text.to_string()]);
        }
        arguments.push(self.authors.len().to_string());
        arguments.extend(self.authors.iter().map(u64::to_string));
        for (_, join, ids) in &self.members {
            arguments.push(if *join { "join" } else { "leave" }.to_owned());
            arguments.push(ids.len().to_string());
            arguments.extend(ids.iter().map(u64::to_string));
        }
        arguments
    }

    /// Users, authors and members, at most `PAGE`.
    #[must_use]
    pub fn size(&self) -> usize {
        let members: usize = self.members.iter().map(|(_, _, ids)| ids.len()).sum();
        self.users.len() + self.authors.len() + members
    }
}

/// The updates of a batch, in their order: who comes before who goes, since a user may do both.
pub(super) fn updates<'w>(
    writes: &'w [Write],
    settings: &Settings,
    now_ms: u64,
) -> Vec<UsersUpdate<'w>> {
    // With the place of the event that tells of them: writes are in the order of their entities.
    let mut told_users: Vec<(usize, (u64, Cow<'w, str>))> = Vec::new();
    let mut authors = BTreeSet::new();
    let mut members: BTreeMap<(bool, u64), Vec<u64>> = BTreeMap::new();
    for write in writes {
        match write {
            Write::Put {
                entity,
                value,
                told,
            } => {
                let user = match entity {
                    Entity::Member { guild, user } => {
                        members.entry((false, *guild)).or_default().push(*user);
                        seen(value, "user")
                    }
                    Entity::Message { .. } => author(value).inspect(|(id, _)| {
                        authors.insert(*id);
                    }),
                    _ => None,
                };
                // A message that is only counted in has its author as it was then.
                told_users.extend(told.zip(user));
            }
            Write::Delete(Entity::Member { guild, user }) => {
                members.entry((true, *guild)).or_default().push(*user);
            }
            Write::Delete(_) => {}
        }
    }
    let empty = UsersUpdate {
        now_ms,
        expiry_ms: settings
            .ttl_ms(Family::Message)
            .map(|ttl_ms| now_ms.saturating_add(ttl_ms)),
        ..UsersUpdate::default()
    };
    let mut updates: Vec<UsersUpdate<'w>> = Vec::new();
    told_users.sort_by_key(|(told, _)| *told);
    let users: BTreeMap<u64, Cow<'w, str>> = told_users.into_iter().map(|(_, user)| user).collect();
    let users: Vec<_> = users.into_iter().collect();
    for users in users.chunks(PAGE) {
        room(&mut updates, users.len(), &empty)
            .users
            .extend_from_slice(users);
    }
    let authors: Vec<_> = authors.into_iter().collect();
    for authors in authors.chunks(PAGE) {
        room(&mut updates, authors.len(), &empty)
            .authors
            .extend(authors);
    }
    for ((leave, guild), ids) in members {
        for ids in ids.chunks(PAGE) {
            let change = (guild, !leave, ids.to_vec());
            room(&mut updates, ids.len(), &empty).members.push(change);
        }
    }
    updates
}

/// The last update if so much more fits in, else a new one.
fn room<'u, 'w>(
    updates: &'u mut Vec<UsersUpdate<'w>>,
    size: usize,
    empty: &UsersUpdate<'w>,
) -> &'u mut UsersUpdate<'w> {
    let last = updates.len().saturating_sub(1);
    let fits = updates
        .last()
        .is_some_and(|last| last.size() + size <= PAGE);
    if fits {
        return &mut updates[last];
    }
    updates.push(empty.clone());
    let last = updates.len() - 1;
    &mut updates[last]
}

/// A webhook is no user.
fn author(message: &str) -> Option<(u64, Cow<'_, str>)> {
    let is_webhook = Object::parse(message)?.value("webhook_id").is_some();
    seen(message, "author").filter(|_| !is_webhook)
}

fn seen<'w>(object: &'w str, field: &'static str) -> Option<(u64, Cow<'w, str>)> {
    let user = Object::parse(object)?.nested(field).ok()?;
    Some((user.id("id").ok()?, without_nulls(user.text)))
}
