//! Messages: a few recent ones of each guild are remembered, to be edited and deleted.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    member::{Member, MemberObject},
    user::{Id, User, UserObject, id},
    words,
};
use crate::protocol::snowflake::timestamp;

/// How many messages of a guild (or of all DMs) can still be edited and deleted.
pub(crate) const REMEMBERED: usize = 64;

/// Flag of a message that a thread has begun from.
const HAS_THREAD: u32 = 1 << 5;
/// How long a poll is open.
const POLL_MS: u64 = 86_400_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) id: u64,
    pub(crate) channel: u64,
    /// Discord's type of that channel.
    pub(crate) channel_kind: u8,
    /// Place in the world's list of users.
    pub(crate) author: u32,
    pub(crate) sent_ms: u64,
    pub(crate) edited_ms: Option<u64>,
    pub(crate) edits: u16,
    /// The message it answers.
    pub(crate) replies_to: Option<u64>,
    /// A thread has begun here; it has the message's id.
    pub(crate) has_thread: bool,
    /// Its link has a preview.
    pub(crate) previewed: bool,
    pub(crate) reactions: Vec<Reaction>,
    /// What a client wrote through REST, instead of invented words.
    pub(crate) written: Option<Box<Written>>,
}

/// How often one emoji was reacted with.
#[derive(Debug, Clone)]
pub(crate) struct Reaction {
    pub(crate) emoji: Value,
    pub(crate) count: u32,
}

impl Reaction {
    fn json(&self) -> Value {
        json!({
            "me_burst": false,
            "me": false,
            "emoji": self.emoji,
            "count_details": {"normal": self.count, "burst": 0},
            "count": self.count,
            "burst_colors": [],
        })
    }
}

/// The body of a create message request, as far as the simulator keeps it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    pub(crate) content: String,
    pub(crate) embeds: Value,
    pub(crate) nonce: Option<Value>,
}

/// The message object.
#[derive(Debug, Serialize)]
pub(crate) struct MessageObject {
    #[serde(rename = "type")]
    kind: u8,
    tts: bool,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referenced_message: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll: Option<Value>,
    pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_reference: Option<Reference>,
    mentions: [(); 0],
    mention_roles: [(); 0],
    mention_everyone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<MemberObject>,
    id: Id,
    flags: u32,
    embeds: Value,
    edited_timestamp: Option<String>,
    content: String,
    components: [(); 0],
    channel_type: u8,
    channel_id: Id,
    author: UserObject,
    attachments: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    guild_id: Option<Id>,
}

#[derive(Debug, Serialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: u8,
    message_id: Id,
    channel_id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    guild_id: Option<Id>,
}

impl Message {
    /// The message object as REST answers it: without `guild_id` and `member`.
    pub(crate) fn json(&self, author: &User) -> MessageObject {
        let look = words::scramble(self.id ^ u64::from(self.edits));
        let (content, embeds, nonce) = match &self.written {
            Some(written) => (
                written.content.clone(),
                written.embeds.clone(),
                written.nonce.clone(),
            ),
            None if self.previewed => (
                words::sentence(look),
                preview(self.id),
                Some(id(self.id >> 1)),
            ),
            None => (words::sentence(look), embeds(look), Some(id(self.id >> 1))),
        };
        let first_look = words::scramble(self.id);
        MessageObject {
            kind: if self.replies_to.is_some() { 19 } else { 0 },
            tts: false,
            timestamp: timestamp(self.sent_ms),
            thread: None,
            referenced_message: self.replies_to.map(|_| ()),
            reactions: self.reactions.iter().map(Reaction::json).collect(),
            poll: (first_look.is_multiple_of(41) && self.written.is_none())
                .then(|| poll(first_look, self.sent_ms)),
            pinned: false,
            nonce,
            message_reference: self.replies_to.map(|answered| Reference {
                kind: 0,
                message_id: Id(answered),
                channel_id: Id(self.channel),
                guild_id: None,
            }),
            mentions: [],
            mention_roles: [],
            mention_everyone: look.is_multiple_of(211),
            member: None,
            id: Id(self.id),
            flags: if self.has_thread { HAS_THREAD } else { 0 },
            embeds,
            edited_timestamp: self.edited_ms.map(timestamp),
            content,
            components: [],
            channel_type: self.channel_kind,
            channel_id: Id(self.channel),
            author: author.json(),
            attachments: attachments(look, self.channel),
            guild_id: None,
        }
    }

    /// The message object of MESSAGE_CREATE and MESSAGE_UPDATE.
    pub(crate) fn json_in_guild(
        &self,
        guild: u64,
        author: &User,
        member: Option<&Member>,
    ) -> MessageObject {
        let mut message = self.json(author);
        message.member = member.map(|member| member.json_in_message(author));
        message.guild_id = Some(Id(guild));
        if let Some(reference) = &mut message.message_reference {
            reference.guild_id = Some(Id(guild));
        }
        message
    }
}

/// A link's preview, as Discord adds it to some messages (often by an update of its own).
pub(crate) fn preview(look: u64) -> Value {
    json!([{
        "type": "rich",
        "title": words::name(look, " "),
        "description": words::sentence(look ^ 1),
        "url": "https://example.com/",
        "color": look & 0xFF_FFFF,
        "content_scan_version": 2,
        "fields": [{"name": "score", "value": "1.50", "inline": true}],
    }])
}

fn embeds(look: u64) -> Value {
    if look.is_multiple_of(13) {
        preview(look)
    } else {
        json!([])
    }
}

fn attachments(look: u64, channel: u64) -> Value {
    if !look.is_multiple_of(19) {
        return json!([]);
    }
    let url = format!("https://cdn.example.com/attachments/{channel}/{look}/image.png?ex=1&is=2");
    json!([{
        "id": id(look >> 1),
        "filename": "image.png",
        "size": 33_181,
        "url": url,
        "proxy_url": url,
        "content_type": "image/png",
        "width": 640,
        "height": 480,
        "placeholder_version": 1,
    }])
}

fn poll(look: u64, begun_ms: u64) -> Value {
    json!({
        "question": {"text": words::sentence(look)},
        "answers": [
            {"answer_id": 1, "poll_media": {"text": "yes"}},
            {"answer_id": 2, "poll_media": {"text": "no"}},
        ],
        "expiry": timestamp(begun_ms + POLL_MS),
        "allow_multiselect": false,
        "layout_type": 1,
    })
}
