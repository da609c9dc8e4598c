//! A model of Redis, as far as the commands of the layouts go.

use std::collections::{BTreeMap, BTreeSet};

use cache_writer::core::{
    entity::{Family, Index},
    layout::{
        Command, Database, Location,
        index::{self, IndexUpdate},
        users::{USERS_KEY, UsersUpdate},
    },
};
use serde_json::Value;

/// Both databases; the keys of the second are told by their prefix `MESSAGES:`.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) strings: BTreeMap<String, String>,
    pub(crate) hashes: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) sets: BTreeMap<String, BTreeSet<u64>>,
    pub(crate) counts: BTreeMap<String, i64>,
    /// How many guilds each user is a member of.
    memberships: BTreeMap<u64, u32>,
    authors: BTreeSet<u64>,
}

impl Store {
    pub(crate) fn execute(&mut self, command: Command<'_>) {
        match command {
            Command::Set {
                database,
                key,
                value,
                ..
            } => {
                assert_eq!(database == Database::Messages, key.starts_with("MESSAGES:"));
                self.strings.insert(key, value.into_owned());
            }
            Command::Unlink { keys, .. } => self.strings.retain(|key, _| !keys.contains(key)),
            Command::HashSet { key, field, value } => {
                self.hashes
                    .entry(key)
                    .or_default()
                    .insert(field, value.into_owned());
            }
            Command::HashDelete { key, fields } => {
                if let Some(hash) = self.hashes.get_mut(&key) {
                    hash.retain(|field, _| !fields.contains(field));
                }
            }
            Command::SetAdd { key, ids } => self.sets.entry(key).or_default().extend(ids),
            Command::SetRemove { key, ids } => {
                if let Some(set) = self.sets.get_mut(&key) {
                    set.retain(|id| !ids.contains(id));
                }
            }
            Command::Index(update) => self.index(&update),
            Command::Users(update) => self.users(update),
        }
        self.hashes.retain(|_, hash| !hash.is_empty());
        self.sets.retain(|_, set| !set.is_empty());
    }

    /// What the script does, with expiry left out: in the model no time passes.
    fn index(&mut self, update: &IndexUpdate) {
        for change in &update.changes {
            let count = self
                .counts
                .entry(change.index.family().plural().to_owned())
                .or_default();
            let set = self.sets.entry(index::key(change.index)).or_default();
            for id in &change.ids {
                if change.add {
                    *count += i64::from(set.insert(*id));
                } else {
                    *count -= i64::from(set.remove(id));
                }
            }
        }
    }

    /// What the script does, with expiry left out.
    fn users(&mut self, update: UsersUpdate<'_>) {
        let bot = self.strings.get("bot_user").cloned().unwrap_or_default();
        let is_bot = |id: u64| bot.contains(&format!("\"{id}\""));
        for (id, text) in update.users.iter().filter(|(id, _)| !is_bot(*id)) {
            let users = self.hashes.entry(USERS_KEY.to_owned()).or_default();
            users.insert(id.to_string(), text.clone().into_owned());
        }
        self.authors.extend(&update.authors);
        for (guild, join, ids) in &update.members {
            let family = Family::Member;
            let before = self.ids(Index::Guild {
                guild: *guild,
                family,
            });
            for id in ids.iter().filter(|id| before.contains(id) != *join) {
                let count = self.memberships.entry(*id).or_default();
                *count = if *join { *count + 1 } else { *count - 1 };
                if *count > 0 {
                    continue;
                }
                self.memberships.remove(id);
                if !self.authors.contains(id) && !is_bot(*id) {
                    let users = self.hashes.entry(USERS_KEY.to_owned()).or_default();
                    users.remove(&id.to_string());
                }
            }
        }
    }

    pub(crate) fn read(&self, location: &Location) -> Option<String> {
        match location {
            Location::Key { key, .. } => self.strings.get(key).cloned(),
            Location::Field { key, field } => self.hashes.get(key)?.get(field).cloned(),
        }
    }

    pub(crate) fn ids(&self, index: Index) -> Vec<u64> {
        let set = self.sets.get(&index::key(index));
        set.into_iter().flatten().copied().collect()
    }

    /// The strings, parsed.
    pub(crate) fn values(&self) -> BTreeMap<String, Value> {
        let parse = |text: &String| serde_json::from_str(text).unwrap();
        self.strings
            .iter()
            .map(|(key, text)| (key.clone(), parse(text)))
            .collect()
    }
}
