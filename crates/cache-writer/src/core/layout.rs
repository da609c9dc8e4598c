//! The seam between what changes and where it is stored: writes become Redis commands as plain
//! values.
//!
//! Two layouts, written separately or together: [`dispatch`], one key for each object, and
//! [`spectacles`], hashes by id. The indexes ([`index`]) and `bot_user` are kept in either, since
//! purges and `old` need them. State is read from the dispatch layout where it is on.

pub mod dispatch;
pub mod index;
mod nulls;
pub mod spectacles;
pub mod users;

use std::{borrow::Cow, collections::BTreeMap};

use self::{
    index::{IndexChange, IndexUpdate},
    users::UsersUpdate,
};
use super::{
    entity::{Entity, Index},
    settings::{Layouts, Settings},
    write::Write,
};

/// The most keys or fields of one command, so that none blocks Redis for long.
pub const PAGE: usize = 1_000;

/// One Redis command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'w> {
    /// `SET key value [PX expire_ms]`.
    Set {
        /// Where.
        database: Database,
        /// The key.
        key: String,
        /// JSON text.
        value: Cow<'w, str>,
        /// Milliseconds until it expires.
        expire_ms: Option<u64>,
    },
    /// `UNLINK key…`, at most [`PAGE`].
    Unlink {
        /// Where.
        database: Database,
        /// The keys.
        keys: Vec<String>,
    },
    /// `HSET key field value`, in the main database.
    HashSet {
        /// The key.
        key: String,
        /// The field.
        field: String,
        /// JSON text.
        value: Cow<'w, str>,
    },
    /// `HDEL key field…`, at most [`PAGE`], in the main database.
    HashDelete {
        /// The key.
        key: String,
        /// The fields.
        fields: Vec<String>,
    },
    /// `SADD key id…`, at most [`PAGE`], in the main database.
    SetAdd {
        /// The key.
        key: String,
        /// The ids.
        ids: Vec<u64>,
    },
    /// `SREM key id…`, at most [`PAGE`], in the main database.
    SetRemove {
        /// The key.
        key: String,
        /// The ids.
        ids: Vec<u64>,
    },
    /// `EVAL script n key… argument…` in the main database, see [`IndexUpdate`].
    Index(IndexUpdate),
    /// `EVAL script n key… argument…` in the main database, see [`UsersUpdate`].
    Users(UsersUpdate<'w>),
}

impl Command<'_> {
    /// The database it belongs to.
    #[must_use]
    pub fn database(&self) -> Database {
        match self {
            Self::Set { database, .. } | Self::Unlink { database, .. } => *database,
            _ => Database::Main,
        }
    }
}

/// Which of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Database {
    /// `REDIS_URL`.
    Main,
    /// `REDIS_MESSAGES_URL`: the messages of the Spectacles layout.
    Messages,
}

/// Where an object is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// A string key.
    Key {
        /// Where.
        database: Database,
        /// The key.
        key: String,
    },
    /// A field of a hash in the main database.
    Field {
        /// The hash's key.
        key: String,
        /// The field.
        field: String,
    },
}

/// Where an object is read from.
#[must_use]
pub fn location(entity: Entity, layouts: Layouts) -> Location {
    if layouts.dispatch {
        Location::Key {
            database: Database::Main,
            key: dispatch::key(entity),
        }
    } else {
        spectacles::location(entity)
    }
}

/// An object's text as it reads once it has been stored: the Spectacles layout alone keeps no
/// nulls, so neither may an `old` that has not been stored yet.
pub(super) fn as_stored(text: String, layouts: Layouts) -> String {
    if layouts.dispatch {
        text
    } else {
        nulls::without_nulls(&text).into_owned()
    }
}

/// The commands that carry out a batch's writes. They belong into one transaction for each
/// database, in this order: users are told from the indexes as they stood before. `now_ms` is the time in milliseconds
/// since 1970.
#[must_use]
pub fn commands<'w>(writes: &'w [Write], settings: &Settings, now_ms: u64) -> Vec<Command<'w>> {
    let mut commands = Vec::with_capacity(writes.len() + 1);
    if settings.layouts.dispatch {
        dispatch::commands(writes, settings, &mut commands);
    }
    if settings.layouts.spectacles {
        spectacles::commands(writes, settings, &mut commands);
        let updates = users::updates(writes, settings, now_ms);
        commands.extend(updates.into_iter().map(Command::Users));
    }
    commands.extend(index_commands(writes, settings, now_ms));
    commands
}

/// One change for each index, gathered into as few scripts as their size allows.
fn index_commands(writes: &[Write], settings: &Settings, now_ms: u64) -> Vec<Command<'static>> {
    let mut changes: BTreeMap<(Index, bool), Vec<u64>> = BTreeMap::new();
    for write in writes {
        let entity = write.entity();
        let put = matches!(write, Write::Put { .. });
        for (index, add) in index_changes(entity, put, settings) {
            changes.entry((index, add)).or_default().push(entity.id());
        }
    }
    let changes = changes.into_iter().flat_map(|((index, add), ids)| {
        let ttl_ms = settings.ttl_ms(index.family());
        let pages: Vec<_> = ids.chunks(PAGE).map(<[u64]>::to_vec).collect();
        pages.into_iter().map(move |ids| IndexChange {
            index,
            add,
            ids,
            ttl_ms,
        })
    });
    let mut updates: Vec<IndexUpdate> = Vec::new();
    for change in changes {
        match updates.last_mut() {
            Some(update) if update.size() + change.ids.len() <= PAGE => update.changes.push(change),
            _ => updates.push(IndexUpdate {
                changes: vec![change],
                now_ms,
            }),
        }
    }
    updates.into_iter().map(Command::Index).collect()
}

/// Members are listed in one of two indexes, by whether they expire; the other may be left from
/// before the setting changed. An expiring one that is left vanishes by itself.
fn index_changes(
    entity: Entity,
    put: bool,
    settings: &Settings,
) -> impl Iterator<Item = (Index, bool)> {
    let index = entity.index();
    let expiring = match entity {
        Entity::Member { guild, .. } => Some(Index::ExpiringMembers { guild }),
        _ => None,
    };
    let expire = settings.members_expire();
    let plain = index.map(|index| (index, put && !(expire && expiring.is_some())));
    let expiring = expiring
        .filter(|_| expire || !put)
        .map(|index| (index, put));
    plain.into_iter().chain(expiring)
}
