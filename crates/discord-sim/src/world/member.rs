//! Members of a guild, their presences and voice states.

use serde::Serialize;

use super::{
    user::{Id, User, UserObject},
    words,
};
use crate::protocol::snowflake::{timestamp, timestamp_us};

#[derive(Debug, Clone, Default)]
pub(crate) struct Member {
    /// Place in the world's list of users.
    pub(crate) user: u32,
    /// The user's face as this guild last heard of it.
    pub(crate) face: u16,
    /// 0 = none.
    pub(crate) nick: u16,
    /// 0 = none.
    pub(crate) avatar: u16,
    pub(crate) roles: Vec<u64>,
    pub(crate) joined_ms: u64,
    pub(crate) premium_ms: Option<u64>,
    /// Unix microseconds.
    pub(crate) timeout_us: Option<u64>,
    pub(crate) deaf: bool,
    pub(crate) mute: bool,
    pub(crate) pending: bool,
    pub(crate) presence: Presence,
    /// A nickname that was set through REST: it stands for the invented one.
    pub(crate) named: Option<Box<str>>,
}

/// The member object. A field that Discord may leave out is left out if it is `None`.
#[derive(Debug, Serialize)]
pub(crate) struct MemberObject {
    roles: Vec<Id>,
    premium_since: Option<String>,
    pending: bool,
    nick: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mute: Option<bool>,
    joined_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flags: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deaf: Option<bool>,
    communication_disabled_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) banner: Option<()>,
    avatar: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserObject>,
    /// Only interactions have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) permissions: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guild_id: Option<Id>,
}

impl Member {
    /// The member object without `user`, as it stands in messages.
    pub(crate) fn json_in_message(&self, user: &User) -> MemberObject {
        let look = user.id ^ self.joined_ms;
        MemberObject {
            roles: self.roles.iter().map(|role| Id(*role)).collect(),
            premium_since: self.premium_ms.map(timestamp),
            pending: self.pending,
            nick: match &self.named {
                Some(name) => Some(name.to_string()).filter(|name| !name.is_empty()),
                None => (self.nick > 0).then(|| words::name(look ^ u64::from(self.nick), " ")),
            },
            mute: Some(self.mute),
            joined_at: timestamp(self.joined_ms),
            flags: Some(0),
            deaf: Some(self.deaf),
            communication_disabled_until: self.timeout_us.map(timestamp_us),
            banner: Some(()),
            avatar: (self.avatar > 0).then(|| words::image(look ^ u64::from(self.avatar))),
            user: None,
            permissions: None,
            guild_id: None,
        }
    }

    /// The member object of GUILD_CREATE and GUILD_MEMBERS_CHUNK.
    pub(crate) fn json(&self, user: &User) -> MemberObject {
        MemberObject {
            user: Some(user.json_with(self.face)),
            ..self.json_in_message(user)
        }
    }

    /// The member object of GUILD_MEMBER_ADD and GUILD_MEMBER_UPDATE.
    pub(crate) fn json_of_event(&self, user: &User, guild: u64) -> MemberObject {
        MemberObject {
            guild_id: Some(Id(guild)),
            ..self.json(user)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Status {
    Online,
    Idle,
    DoNotDisturb,
    #[default]
    Offline,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Idle => "idle",
            Self::DoNotDisturb => "dnd",
            Self::Offline => "offline",
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Presence {
    pub(crate) status: Status,
    /// Which activity, if any; 0 = none.
    pub(crate) activity: u16,
    pub(crate) since_ms: u64,
}

/// The presence object.
#[derive(Debug, Serialize)]
pub(crate) struct PresenceObject {
    pub(crate) user: PresenceUser,
    status: &'static str,
    processed_at_timestamp: u64,
    client_status: ClientStatus,
    activities: Vec<Activity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) guild_id: Option<Id>,
}

/// A presence's user: its id, or all of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum PresenceUser {
    Id { id: Id },
    Whole(UserObject),
}

/// What somebody does, of three kinds.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Activity {
    Game {
        #[serde(rename = "type")]
        kind: u8,
        name: String,
        id: String,
        created_at: u64,
        timestamps: Timestamps,
        application_id: Id,
        details: String,
        assets: Assets,
    },
    Custom {
        #[serde(rename = "type")]
        kind: u8,
        name: &'static str,
        id: &'static str,
        created_at: u64,
        state: String,
        emoji: Emoji,
    },
    Listening {
        #[serde(rename = "type")]
        kind: u8,
        name: &'static str,
        id: &'static str,
        flags: u8,
        created_at: u64,
        session_id: String,
        sync_id: String,
        party: Party,
        timestamps: Timestamps,
        details: String,
        state: String,
    },
}

#[derive(Debug, Serialize)]
struct Timestamps {
    start: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Assets {
    large_image: &'static str,
    large_text: &'static str,
}

#[derive(Debug, Serialize)]
struct Emoji {
    name: &'static str,
}

#[derive(Debug, Serialize)]
struct Party {
    id: String,
}

#[derive(Debug, Default, Serialize)]
struct ClientStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    desktop: Option<&'static str>,
}

impl Presence {
    /// The presence without `guild_id`.
    pub(crate) fn json(&self, user: u64) -> PresenceObject {
        let status = self.status.name();
        let client_status = match self.status {
            Status::Offline => ClientStatus::default(),
            _ if user & 0x40_0000 == 0 => ClientStatus {
                mobile: None,
                desktop: Some(status),
            },
            _ => ClientStatus {
                mobile: Some(status),
                desktop: Some("idle"),
            },
        };
        PresenceObject {
            user: PresenceUser::Id { id: Id(user) },
            status,
            processed_at_timestamp: self.since_ms,
            client_status,
            activities: self.activities(user),
            guild_id: None,
        }
    }

    fn activities(&self, user: u64) -> Vec<Activity> {
        if self.status == Status::Offline || self.activity == 0 {
            return Vec::new();
        }
        let look = words::scramble(u64::from(self.activity));
        let created_at = self.since_ms;
        vec![match look % 3 {
            0 => Activity::Game {
                kind: 0,
                name: words::name(look, " "),
                id: format!("{:x}", look >> 8),
                created_at,
                timestamps: Timestamps {
                    start: created_at,
                    end: None,
                },
                application_id: Id(user),
                details: words::sentence(look),
                assets: Assets {
                    large_image: "382173485392068608",
                    large_text: "Level 3",
                },
            },
            1 => Activity::Custom {
                kind: 4,
                name: "Custom Status",
                id: "custom",
                created_at,
                state: words::sentence(look),
                emoji: Emoji { name: "🔥" },
            },
            _ => Activity::Listening {
                kind: 2,
                name: "Spotify",
                id: "spotify:1",
                flags: 48,
                created_at,
                session_id: words::image(look),
                sync_id: words::name(look, ""),
                party: Party {
                    id: format!("spotify:{user}"),
                },
                timestamps: Timestamps {
                    start: created_at,
                    end: Some(created_at + 214_000),
                },
                details: words::name(look, " "),
                state: words::sentence(look),
            },
        }]
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Voice {
    pub(crate) channel: u64,
    /// Source of the voice session's name.
    pub(crate) session: u64,
    pub(crate) self_mute: bool,
    pub(crate) self_deaf: bool,
    pub(crate) self_video: bool,
    pub(crate) self_stream: bool,
    pub(crate) suppress: bool,
    /// Since when it asks to speak on a stage.
    pub(crate) asks_to_speak: Option<Box<str>>,
}

/// The voice state object.
#[derive(Debug, Serialize)]
pub(crate) struct VoiceObject {
    user_id: Id,
    suppress: bool,
    session_id: String,
    self_video: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    self_stream: bool,
    self_mute: bool,
    self_deaf: bool,
    request_to_speak_timestamp: Option<Box<str>>,
    mute: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<MemberObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guild_id: Option<Id>,
    deaf: bool,
    channel_id: Option<Id>,
}

impl Voice {
    /// The voice state of GUILD_CREATE.
    pub(crate) fn json(&self, user: u64, member: &Member) -> VoiceObject {
        VoiceObject {
            user_id: Id(user),
            suppress: self.suppress,
            session_id: words::image(self.session),
            self_video: self.self_video,
            self_stream: self.self_stream,
            self_mute: self.self_mute,
            self_deaf: self.self_deaf,
            request_to_speak_timestamp: self.asks_to_speak.clone(),
            mute: member.mute,
            member: None,
            guild_id: None,
            deaf: member.deaf,
            channel_id: Some(Id(self.channel)),
        }
    }

    /// The voice state of VOICE_STATE_UPDATE; `channel` is `None` for one who has left.
    pub(crate) fn json_of_event(
        &self,
        user: &User,
        member: &Member,
        guild: u64,
        channel: Option<u64>,
    ) -> VoiceObject {
        VoiceObject {
            member: Some(member.json(user)),
            guild_id: Some(Id(guild)),
            channel_id: channel.map(Id),
            ..self.json(user.id, member)
        }
    }
}
