//! The state that twilight-dispatch leaves on Redis: what becomes of each of its keys.
//!
//! It has a key for each object, named as those of the [dispatch layout](super::layout::dispatch), but a guild's channels are
//! under `channel:<channel>`. It lists them in sets of its own and keeps their expiry in a hash:
//!
//! | key | kind | holds |
//! |---|---|---|
//! | `guild_keys`, `channel_keys`, `role_keys`, … ([`SETS`]) | set | all keys of a kind |
//! | `guild_keys:<guild>` | set | the keys of a guild's objects |
//! | `channel_keys:<channel>` | set | the keys of a channel's messages |
//! | `expiry_keys` | hash | by key when it expires, `"2026-01-31T12:00:00.5"` in UTC; it deletes what is over by itself |
//!
//! What is taken over of a page of keys leaves these lists in the transaction that writes it, so what they still list is what is
//! still to be done.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    entity::{Entity, Family},
    layout::{self, Command, Database, Location, dispatch, index::parse_id},
    object::{Object, string},
    rules::{Listed, NESTED},
    settings::Settings,
    write::Write,
};

/// The sets that list all keys of a kind.
pub const SETS: [&str; 8] = [
    GUILDS,
    "channel_keys",
    "role_keys",
    "emoji_keys",
    "member_keys",
    "presence_keys",
    "voice_keys",
    "message_keys",
];
/// Of these the one of the guilds.
pub const GUILDS: &str = "guild_keys";
/// The hash of when keys expire.
pub const EXPIRIES: &str = "expiry_keys";
/// The key of the bot's user, which no set lists.
pub const BOT_USER: &str = "bot_user";

/// What is known while the state is taken over.
#[derive(Clone, Debug)]
pub struct Takeover {
    /// What the cache keeps.
    pub settings: Settings,
    /// The bot's user, whose members are kept at any `STATE_MEMBER`.
    pub bot: Option<u64>,
    /// Whether Dispatch has kept its own cache there since: then it has the guilds' channels, newer, under keys of their own.
    pub dispatch_since: bool,
    /// Milliseconds since 1970.
    pub now_ms: u64,
}

/// A key, and what Redis has of it.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The key.
    pub key: &'a str,
    /// The object's JSON text.
    pub value: Option<&'a str>,
    /// What [`EXPIRIES`] says.
    pub expiry: Option<&'a str>,
}

/// What is to be done about a page of keys, in one transaction.
#[derive(Debug, Default)]
pub struct Page {
    /// By when they expire (milliseconds from now; none: as the settings say) what is written.
    writes: BTreeMap<Option<u64>, Vec<Write<'static>>>,
    /// Keys that are no longer used, sets too.
    unlink: BTreeSet<String>,
    /// By set of a kind, the keys that it is to list no more.
    pub unlisted: BTreeMap<String, Vec<String>>,
    /// Objects taken over.
    pub kept: u64,
    /// Objects removed.
    pub removed: u64,
}

impl Takeover {
    /// Decides about keys, each named once. `guild`: the guild whose set lists them, if they come from there.
    #[must_use]
    pub fn page(&self, found: &[Found<'_>], guild: Option<u64>) -> Page {
        let mut page = Page::default();
        for found in found {
            let Some(key) = Key::parse(found.key) else {
                // Not one of its keys, whoever has listed it.
                continue;
            };
            page.unlist(found.key, key);
            let expiry = found.expiry.and_then(milliseconds);
            let (Some(value), false) = (
                found.value,
                expiry.is_some_and(|expiry| expiry <= self.now_ms),
            ) else {
                page.remove(found);
                continue;
            };
            let kept = self.kept(key, guild, value);
            let Some((entity, value)) = kept else {
                page.remove(found);
                continue;
            };
            page.unlink.extend(
                entity
                    .guild()
                    .filter(|_| guild.is_none() && !matches!(entity, Entity::Guild(_)))
                    .map(|guild| format!("{GUILDS}:{guild}")),
            );
            if !self.stays(found.key, entity) {
                page.unlink.insert(found.key.to_owned());
            }
            page.kept += 1;
            let ttl_ms = expiry.map(|expiry| expiry - self.now_ms);
            let writes = page.writes.entry(ttl_ms).or_default();
            let told = Some(0);
            writes.push(Write::Put {
                entity,
                value: value.into(),
                told,
            });
        }
        page
    }

    /// The object that a key becomes, as the cache keeps it; none: it can't be told, or is not kept.
    fn kept(&self, key: Key, guild: Option<u64>, value: &str) -> Option<(Entity, String)> {
        let mut object = Object::parse(value)?;
        let entity = match key {
            Key::Of(entity) => entity,
            Key::Channel(id) => {
                let guild = guild.or(object.optional_id("guild_id").ok()?);
                match guild {
                    Some(_) if self.dispatch_since => return None,
                    None if !is_private(&object) => return None,
                    _ => Entity::Channel { guild, id },
                }
            }
        };
        if !self.keeps(entity) {
            return None;
        }
        let same_id = object.id("id") == Ok(entity.id());
        let value = match entity {
            Entity::BotUser => value.to_owned(),
            Entity::Guild(_) if same_id => {
                object.strip(&NESTED.map(|(list, _)| list));
                object.render()
            }
            Entity::Message { channel, .. } => {
                let same_channel = object.id("channel_id") == Ok(channel);
                (same_id && same_channel).then(|| value.to_owned())?
            }
            Entity::Channel { guild: None, .. } if same_id => value.to_owned(),
            _ => {
                let listed = Listed::parse(entity.guild()?, entity.family(), value)?;
                let value = listed.value.filter(|_| listed.entity == entity)?;
                value.into_owned()
            }
        };
        Some((entity, value))
    }

    fn keeps(&self, entity: Entity) -> bool {
        let own_member = matches!(entity, Entity::Member { user, .. } if Some(user) == self.bot);
        self.settings.keeps(entity.family()) || self.settings.enabled && own_member
    }

    /// Whether the object has the same key in a layout that is written.
    fn stays(&self, key: &str, entity: Entity) -> bool {
        let layouts = self.settings.layouts;
        let location = layout::location(entity, layouts);
        matches!(location, Location::Key { database: Database::Main, key: ours } if ours == key)
    }
}

impl Page {
    /// The commands that carry it out, but for [`Self::unlisted`].
    #[must_use]
    pub fn commands(&self, takeover: &Takeover) -> Vec<Command<'_>> {
        let mut commands = Vec::new();
        for (ttl_ms, writes) in &self.writes {
            let mut settings = takeover.settings.clone();
            if let Some(ttl_ms) = ttl_ms {
                settings.message_ttl_ms = *ttl_ms;
                if settings.members_expire() {
                    settings.member_ttl_ms = *ttl_ms;
                }
            }
            commands.extend(layout::commands(writes, &settings, takeover.now_ms));
        }
        let gone: Vec<_> = self.unlink.iter().cloned().collect();
        commands.extend(gone.chunks(layout::PAGE).map(|keys| Command::Unlink {
            database: Database::Main,
            keys: keys.to_vec(),
        }));
        commands
    }

    fn unlist(&mut self, name: &str, key: Key) {
        let kind = name.split(':').next().unwrap_or_default();
        let set = self.unlisted.entry(format!("{kind}_keys")).or_default();
        set.push(name.to_owned());
        if let Key::Of(Entity::Message { channel, .. }) = key {
            self.unlink.insert(format!("channel_keys:{channel}"));
        }
    }

    fn remove(&mut self, found: &Found<'_>) {
        if found.value.is_some() {
            self.unlink.insert(found.key.to_owned());
            self.removed += 1;
        }
    }
}

/// What a key of twilight-dispatch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    /// The object is known.
    Of(Entity),
    /// A channel, of a guild perhaps.
    Channel(u64),
}

impl Key {
    fn parse(key: &str) -> Option<Self> {
        const FAMILIES: [Family; 8] = [
            Family::User,
            Family::Guild,
            Family::Role,
            Family::Emoji,
            Family::Member,
            Family::Presence,
            Family::Voice,
            Family::Message,
        ];
        if let Some(id) = key.strip_prefix("channel:") {
            return parse_id(id).map(Self::Channel);
        }
        let entity = dispatch::parse_key(key)?;
        // Ids are compared as text too: with a leading 0 it is no key of theirs.
        let theirs = FAMILIES.contains(&entity.family()) && dispatch::key(entity) == key;
        theirs.then_some(Self::Of(entity))
    }
}

/// The guild of a key `guild:<guild>`.
#[must_use]
pub fn guild_of(key: &str) -> Option<u64> {
    match Key::parse(key)? {
        Key::Of(Entity::Guild(guild)) => Some(guild),
        _ => None,
    }
}

/// The id of a user's JSON text.
#[must_use]
pub fn user_id(user: &str) -> Option<u64> {
    Object::parse(user)?.id("id").ok()
}

/// Whether it is a channel between users (types 1 and 3): all others are a guild's.
fn is_private(channel: &Object<'_>) -> bool {
    matches!(channel.number("type"), Some(1 | 3))
}

/// Milliseconds since 1970 of what twilight-dispatch writes: `"2026-01-31T12:00:00.123456789"`, in UTC.
fn milliseconds(text: &str) -> Option<u64> {
    let text = string(text)?;
    let (date, time) = text.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(time, ':')?;
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Years that begin in March, so that a leap day is their last.
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let days_to_month = (153 * month + 2) / 5;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + days_to_month + day - 1;
    let days = days.checked_sub(719_468)?;
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000 + thousandths.parse::<u64>().ok()?)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> = text.split(separator).map(parse_id).collect();
    numbers?.try_into().ok()
}
