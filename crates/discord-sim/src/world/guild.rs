//! A guild and everything in it.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Overlay,
    channel::{Channel, Thread, VOICE, extend},
    dense_map::DenseMap,
    intents,
    member::{Member, MemberObject, PresenceObject, Status, Voice, VoiceObject},
    message::{Message, remember},
    objects::{Emoji, Role, Scheduled, Sound, Stage, Sticker},
    user::{User, id},
    words,
};
use crate::protocol::snowflake::timestamp;

#[derive(Debug, Clone, Default)]
pub(crate) struct Guild {
    pub(crate) id: u64,
    /// Counts the changes of its name and icon.
    pub(crate) revision: u16,
    /// User id.
    pub(crate) owner: u64,
    /// When the bot joined.
    pub(crate) joined_ms: u64,
    /// Discord has an outage here.
    pub(crate) unavailable: bool,
    pub(crate) channels: DenseMap<Channel>,
    pub(crate) threads: DenseMap<Thread>,
    pub(crate) roles: DenseMap<Role>,
    pub(crate) emojis: DenseMap<Emoji>,
    pub(crate) stickers: DenseMap<Sticker>,
    pub(crate) sounds: DenseMap<Sound>,
    /// By user id.
    pub(crate) members: DenseMap<Member>,
    /// By user id.
    pub(crate) voices: DenseMap<Voice>,
    pub(crate) stages: DenseMap<Stage>,
    pub(crate) events: DenseMap<Scheduled>,
    pub(crate) messages: VecDeque<Message>,
    pub(crate) bans: Vec<Ban>,
    pub(crate) automod_rules: Vec<u64>,
    pub(crate) integrations: Vec<u64>,
    /// Channel and code.
    pub(crate) invites: Vec<(u64, String)>,
    /// The member that joined last, by user id: the one whose GUILD_MEMBER_ADD may be repeated.
    pub(crate) newest_member: Option<u64>,
    pub(crate) set: Overlay,
}

/// Somebody who is kept out of a guild.
#[derive(Debug, Clone)]
pub(crate) struct Ban {
    /// Place in the world's list of users.
    pub(crate) user: u32,
    pub(crate) reason: Option<Box<str>>,
}

impl Ban {
    /// A ban for which nobody gave a reason.
    pub(crate) fn of(user: u32) -> Self {
        Self { user, reason: None }
    }
}

/// What of a guild a session wants to see in GUILD_CREATE.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) intents: u64,
    pub(crate) large_threshold: u32,
    /// Whether `unavailable: false` is said: after READY and outages, not when the bot joins.
    pub(crate) returning: bool,
}

/// The object of GUILD_CREATE.
#[derive(Debug, Serialize)]
pub(crate) struct CreateObject {
    #[serde(flatten)]
    guild: Value,
    voice_states: Vec<VoiceObject>,
    presences: Vec<PresenceObject>,
    members: Vec<MemberObject>,
}

impl Guild {
    /// Remembers a message, so that it can be edited and deleted; the oldest is forgotten.
    pub(crate) fn remember(&mut self, message: Message) {
        remember(&mut self.messages, message);
    }

    /// How many members are not offline.
    pub(crate) fn online(&self) -> usize {
        let is_online = |member: &&Member| member.presence.status != Status::Offline;
        self.members.values().filter(is_online).count()
    }

    /// Whether messages of this channel or thread are known to the bot.
    pub(crate) fn is_live(&self, channel: u64) -> bool {
        self.threads
            .get(channel)
            .is_some_and(|thread| thread.archived_ms.is_none())
            || self
                .channels
                .get(channel)
                .is_some_and(|channel| !channel.hidden)
    }

    /// Removes a thread with its messages.
    pub(crate) fn drop_thread(&mut self, thread: u64) -> Option<Thread> {
        self.messages.retain(|message| message.channel != thread);
        self.threads.remove(thread)
    }

    /// Removes the threads that Discord no longer lists; `parent` None = of the whole guild.
    pub(crate) fn drop_archived(&mut self, parent: Option<u64>) {
        let archived: Vec<u64> = self
            .threads
            .values()
            .filter(|thread| thread.archived_ms.is_some())
            .filter(|thread| parent.is_none_or(|parent| parent == thread.parent))
            .map(|thread| thread.id)
            .collect();
        for thread in archived {
            self.drop_thread(thread);
        }
    }

    /// The guild object as in GUILD_UPDATE: without `joined_at`, `large`, `member_count` and the
    /// lists that only GUILD_CREATE has.
    pub(crate) fn json(&self) -> Value {
        let look = words::scramble(self.id ^ u64::from(self.revision));
        let mut guild = json!({
            "widget_enabled": false,
            "version": 1_795_000_000_000 + u64::from(self.revision),
            "widget_channel_id": null,
            "verification_level": 1,
            "vanity_url_code": null,
            "system_channel_id": null,
            "system_channel_flags": 0,
            "splash": null,
            "safety_alerts_channel_id": null,
            "rules_channel_id": null,
            "region": "deprecated",
            "public_updates_channel_id": null,
            "profile": null,
            "premium_tier": look % 4,
            "premium_subscription_count": look % 15,
            "premium_progress_bar_enabled": false,
            "preferred_locale": "en-US",
            "owner_id": id(self.owner),
            "nsfw_level": 0,
            "nsfw": false,
            "name": words::name(look, " "),
            "mfa_level": 0,
            "max_video_channel_users": 25,
            "max_stage_video_channel_users": 50,
            "max_members": 25_000_000,
            "latest_onboarding_question_id": null,
            "incidents_data": null,
            "id": id(self.id),
            "icon": words::image(look),
            "home_header": null,
            "features": ["COMMUNITY", "NEWS", "SOUNDBOARD"],
            "explicit_content_filter": 2,
            "discovery_splash": null,
            "description": if look.is_multiple_of(2) { Value::Null } else { words::sentence(look).into() },
            "default_message_notifications": 1,
            "banner": null,
            "application_id": null,
            "afk_timeout": 300,
            "afk_channel_id": null,
        });
        self.set.apply(&mut guild);
        guild["roles"] = self.roles.values().map(Role::json).collect();
        guild["emojis"] = self.emojis.values().map(Emoji::json).collect();
        guild["stickers"] = self
            .stickers
            .values()
            .map(|sticker| sticker.json(self.id))
            .collect();
        guild
    }

    /// The object of GUILD_CREATE, cut to what the session may see.
    pub(crate) fn json_of_create(&self, users: &[User], view: View) -> CreateObject {
        let mut guild = self.json();
        let large = self.members.len() > view.large_threshold as usize;
        let sees = |intent: u64| view.intents & intent != 0;
        let mut more = json!({
            "member_count": self.members.len(),
            "lazy": true,
            "large": large,
            "joined_at": timestamp(self.joined_ms),
            "application_command_counts": {},
        });
        if view.returning {
            more["unavailable"] = Value::Bool(false);
        }
        let channels = self.channels.values();
        more["channels"] = channels.map(|channel| channel.json(self.id)).collect();
        more["threads"] = self
            .threads
            .values()
            .filter(|t| t.archived_ms.is_none())
            .map(Thread::json_of_create)
            .collect();
        more["stage_instances"] = self
            .stages
            .values()
            .map(|stage| stage.json(self.id))
            .collect();
        more["soundboard_sounds"] = self
            .sounds
            .values()
            .map(|sound| sound.json(self.id))
            .collect();
        more["guild_scheduled_events"] = self
            .events
            .values()
            .map(|event| event.json(self.id, &users[event.creator as usize]))
            .collect();
        let heard = sees(intents::GUILD_VOICE_STATES);
        let voice_states = self
            .voices
            .iter()
            .filter(|_| heard)
            .filter_map(|(user, voice)| Some(voice.json(user, self.members.get(user)?)))
            .collect();
        let presences = self
            .members
            .iter()
            .filter(|(_, member)| {
                sees(intents::GUILD_PRESENCES) && member.presence.status != Status::Offline
            })
            .map(|(user, member)| member.presence.json(user))
            .collect();
        // Discord: without the presences intent only the bot and who is in voice; in a large guild
        // those who are online as well.
        let members = self
            .members
            .iter()
            .filter(|(user, member)| {
                users[member.user as usize].bot
                    || self.voices.contains(*user)
                    || sees(intents::GUILD_PRESENCES)
                        && (!large || member.presence.status != Status::Offline)
            })
            .map(|(_, member)| member.json(&users[member.user as usize]))
            .collect();
        extend(&mut guild, more);
        CreateObject {
            guild,
            voice_states,
            presences,
            members,
        }
    }

    /// The voice state of VOICE_STATE_UPDATE; `channel` None = has left.
    pub(crate) fn voice_update(
        &self,
        users: &[User],
        user: u64,
        voice: &Voice,
        channel: Option<u64>,
    ) -> Option<VoiceObject> {
        let member = self.members.get(user)?;
        Some(voice.json_of_event(&users[member.user as usize], member, self.id, channel))
    }

    /// CHANNEL_INFO's list: what voice channels show beside their name.
    pub(crate) fn channel_info(&self) -> Value {
        self.channels
            .values()
            .filter(|channel| channel.kind == VOICE && !channel.hidden)
            .map(|channel| {
                json!({
                    "id": id(channel.id),
                    "status": status(channel),
                    "voice_start_time": channel.voice_start_seconds,
                })
            })
            .collect()
    }
}

/// The text that a voice channel shows, if any.
pub(crate) fn status(channel: &Channel) -> Option<String> {
    (channel.status > 0).then(|| words::sentence(u64::from(channel.status)))
}
