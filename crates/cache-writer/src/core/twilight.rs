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
    writes: BTreeMap<Option<u64>, Vec<Write>>,
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
                value,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::settings::Layouts;

    /// 2026-01-31T12:00:00Z.
    const NOW_MS: u64 = 1_769_860_800_000;
    const BOT: u64 = 99;

    fn takeover() -> Takeover {
        Takeover {
            settings: Settings::default(),
            bot: Some(BOT),
            dispatch_since: false,
            now_ms: NOW_MS,
        }
    }

    fn page(takeover: &Takeover, key: &str, guild: Option<u64>, value: &str) -> Page {
        let found = Found {
            key,
            value: Some(value),
            expiry: None,
        };
        takeover.page(&[found], guild)
    }

    /// What is written for a key, as `key value`.
    fn written(takeover: &Takeover, key: &str, guild: Option<u64>, value: &str) -> Option<String> {
        let page = page(takeover, key, guild, value);
        let mut writes = page.writes.into_values().flatten();
        let write = writes.next()?;
        assert!(writes.next().is_none());
        match write {
            Write::Put { entity, value, .. } => Some(format!("{} {value}", dispatch::key(entity))),
            Write::Delete(entity) => panic!("{entity:?} deleted"),
        }
    }

    #[test]
    fn each_key_becomes_what_its_name_and_value_say() {
        for (key, guild, value, expected) in [
            (
                "guild:1",
                None,
                r#"{"id":"1","name":"a","channels":[],"roles":[],"emojis":[]}"#,
                Some(r#"guild:1 {"id":"1","name":"a"}"#),
            ),
            ("guild:1", None, r#"{"id":"2"}"#, None),
            ("guild:1", None, "[]", None),
            ("guild:x", None, r#"{"id":"1"}"#, None),
            (
                "channel:5",
                Some(1),
                r#"{"id":"5","type":0}"#,
                Some(r#"channel:1:5 {"id":"5","type":0,"guild_id":"1"}"#),
            ),
            (
                "channel:5",
                None,
                r#"{"id":"5","type":0,"guild_id":"1"}"#,
                Some(r#"channel:1:5 {"id":"5","type":0,"guild_id":"1"}"#),
            ),
            (
                "channel:5",
                None,
                r#"{"id":"5","type":1,"recipients":[]}"#,
                Some(r#"channel:5 {"id":"5","type":1,"recipients":[]}"#),
            ),
            ("channel:5", None, r#"{"id":"5","type":0}"#, None),
            ("channel:5", Some(1), r#"{"id":"6","type":0}"#, None),
            ("channel:1:5", Some(1), r#"{"id":"5","type":0}"#, None),
            (
                "role:1:7",
                None,
                r#"{"id":"7"}"#,
                Some(r#"role:1:7 {"id":"7","guild_id":"1"}"#),
            ),
            (
                "emoji:1:7",
                None,
                r#"{"id":"7"}"#,
                Some(r#"emoji:1:7 {"id":"7","guild_id":"1"}"#),
            ),
            (
                "member:1:7",
                Some(1),
                r#"{"guild_id":"1","user":{"id":"7"}}"#,
                Some(r#"member:1:7 {"guild_id":"1","user":{"id":"7"}}"#),
            ),
            ("member:1:7", None, r#"{"user":{"id":"8"}}"#, None),
            ("member:1:7", None, r#"{"nick":"a"}"#, None),
            ("member:1:07", None, r#"{"user":{"id":"7"}}"#, None),
            (
                "voice:1:7",
                None,
                r#"{"user_id":"7","channel_id":"5"}"#,
                Some(r#"voice:1:7 {"user_id":"7","channel_id":"5","guild_id":"1"}"#),
            ),
            (
                "presence:1:7",
                None,
                r#"{"user":{"id":"7"},"status":"idle"}"#,
                Some(r#"presence:1:7 {"user":{"id":"7"},"status":"idle","guild_id":"1"}"#),
            ),
            (
                "presence:1:7",
                None,
                r#"{"user":{"id":"7"},"status":"offline"}"#,
                None,
            ),
            (
                "message:5:8",
                None,
                r#"{"id":"8","channel_id":"5"}"#,
                Some(r#"message:5:8 {"id":"8","channel_id":"5"}"#),
            ),
            ("message:5:8", None, r#"{"id":"8","channel_id":"6"}"#, None),
            (
                "bot_user",
                None,
                r#"{"id":"99"}"#,
                Some(r#"bot_user {"id":"99"}"#),
            ),
            ("sticker:1:7", None, r#"{"id":"7"}"#, None),
            ("mine", None, r#"{"id":"7"}"#, None),
        ] {
            let written = written(&takeover(), key, guild, value);
            assert_eq!(written.as_deref(), expected, "{key} {value}");
        }
    }

    #[test]
    fn a_key_of_somebody_else_is_not_touched_and_one_that_cannot_be_read_goes() {
        for (key, gone) in [
            ("role:1:7", true),
            ("channel:5", true),
            ("message:5:8", true),
            ("channel:1:5", false),
            ("sticker:1:7", false),
            ("index:guilds", false),
            ("dispatch:total:1", false),
            ("guild:", false),
            ("role:1", false),
            ("role:1:7:8", false),
        ] {
            let page = page(&takeover(), key, None, "nonsense");
            assert_eq!(page.unlink.contains(key), gone, "{key}");
            assert_eq!(page.unlisted.is_empty(), !gone, "{key}");
            assert_eq!(page.removed, u64::from(gone), "{key}");
        }
    }

    #[test]
    fn what_a_setting_switches_off_goes() {
        let off = |change: fn(&mut Settings)| {
            let mut takeover = takeover();
            change(&mut takeover.settings);
            takeover
        };
        let member = r#"{"user":{"id":"7"}}"#;
        let own = r#"{"user":{"id":"99"}}"#;
        for (takeover, key, value, kept) in [
            (off(|s| s.member = false), "member:1:7", member, false),
            (off(|s| s.member = false), "member:1:99", own, true),
            (off(|s| s.enabled = false), "member:1:99", own, false),
            (
                off(|s| s.enabled = false),
                "guild:1",
                r#"{"id":"1"}"#,
                false,
            ),
            (
                off(|s| s.enabled = false),
                "bot_user",
                r#"{"id":"99"}"#,
                false,
            ),
            (
                off(|s| s.emoji = false),
                "emoji:1:7",
                r#"{"id":"7"}"#,
                false,
            ),
            (off(|s| s.emoji = false), "role:1:7", r#"{"id":"7"}"#, true),
            (
                off(|s| s.voice = false),
                "voice:1:7",
                r#"{"user_id":"7"}"#,
                false,
            ),
            (
                off(|s| s.presence = false),
                "presence:1:7",
                r#"{"user":{"id":"7"},"status":"idle"}"#,
                false,
            ),
            (
                off(|s| s.message = false),
                "message:5:8",
                r#"{"id":"8","channel_id":"5"}"#,
                false,
            ),
        ] {
            let page = page(&takeover, key, None, value);
            assert_eq!(page.kept, u64::from(kept), "{key}");
            assert_eq!(page.unlink.contains(key), !kept, "{key}");
        }
    }

    #[test]
    fn channels_that_dispatch_has_newer_are_not_written_over() {
        let takeover = Takeover {
            dispatch_since: true,
            ..takeover()
        };
        let page_of = |value| page(&takeover, "channel:5", None, value);
        let guilds = page_of(r#"{"id":"5","type":0,"guild_id":"1"}"#);
        assert_eq!((guilds.kept, guilds.removed), (0, 1));
        let private = page_of(r#"{"id":"5","type":1}"#);
        assert_eq!((private.kept, private.removed), (1, 0));
    }

    #[test]
    fn a_time_to_live_is_kept() {
        let keys = ["message:5:8", "message:5:9", "message:5:10"];
        let values = [8, 9, 10].map(|id| format!(r#"{{"id":"{id}","channel_id":"5"}}"#));
        let expiries = [
            Some(r#""2026-01-31T12:00:01.5""#),
            Some(r#""2026-01-31T12:00:00.0""#),
            None,
        ];
        let found: Vec<_> = keys
            .iter()
            .zip(&values)
            .zip(expiries)
            .map(|((key, value), expiry)| Found {
                key,
                value: Some(value),
                expiry,
            })
            .collect();
        let takeover = takeover();
        let page = takeover.page(&found, None);
        let expiries: Vec<_> = page
            .commands(&takeover)
            .into_iter()
            .filter_map(|command| match command {
                Command::Set { key, expire_ms, .. } => Some((key, expire_ms)),
                _ => None,
            })
            .collect();
        assert_eq!(
            expiries,
            [
                ("message:5:10".to_owned(), Some(600_000)),
                ("message:5:8".to_owned(), Some(1_500)),
            ]
        );
        assert_eq!((page.kept, page.removed), (2, 1));
        assert!(page.unlink.contains("channel_keys:5"));
    }

    #[test]
    fn keys_that_the_layout_does_not_use_go() {
        let layouts = |text: &str| text.parse::<Layouts>().unwrap();
        for (layout, key, value, unlinked) in [
            ("dispatch", "role:1:7", r#"{"id":"7"}"#, false),
            ("both", "role:1:7", r#"{"id":"7"}"#, false),
            ("spectacles", "role:1:7", r#"{"id":"7"}"#, true),
            ("spectacles", "bot_user", r#"{"id":"99"}"#, false),
            (
                "dispatch",
                "channel:5",
                r#"{"id":"5","guild_id":"1"}"#,
                true,
            ),
            ("dispatch", "channel:5", r#"{"id":"5","type":1}"#, false),
        ] {
            let mut takeover = takeover();
            takeover.settings.layouts = layouts(layout);
            let page = page(&takeover, key, None, value);
            assert_eq!(page.kept, 1, "{layout} {key}");
            assert_eq!(page.unlink.contains(key), unlinked, "{layout} {key}");
        }
    }

    #[test]
    fn keys_leave_every_set_that_lists_them() {
        let sets = |guild| {
            let value = r#"{"id":"7"}"#;
            let page = page(&takeover(), "role:1:7", guild, value);
            let unlisted: Vec<_> = page.unlisted.into_keys().collect();
            (unlisted, page.unlink.into_iter().collect::<Vec<_>>())
        };
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(sets(Some(1)), (names(&["role_keys"]), vec![]));
        assert_eq!(
            sets(None),
            (names(&["role_keys"]), names(&["guild_keys:1"]))
        );
    }

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            (r#""1970-01-01T00:00:00.0""#, Some(0)),
            (r#""2026-01-31T12:00:00.0""#, Some(NOW_MS)),
            (r#""2000-02-29T23:59:59.999999999""#, Some(951_868_799_999)),
            (r#""2000-03-01T00:00:00.25""#, Some(951_868_800_250)),
            (r#""2026-13-01T00:00:00.0""#, None),
            (r#""2026-01-31""#, None),
            (r#""2026-01-31T12:00:00.x""#, None),
            ("17", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
