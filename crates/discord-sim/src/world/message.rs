//! Messages: a few recent ones of each guild are remembered, to be edited and deleted.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    member::{Member, MemberObject},
    user::{Id, User, UserObject, id},
    words,
};
use crate::protocol::snowflake::timestamp;

/// How many messages of a guild (or of all DMs) can still be edited and deleted.
const REMEMBERED: usize = 64;
/// The same, of those that were written through REST.
const WRITTEN_REMEMBERED: usize = 1_000;

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
    pub(crate) pinned: bool,
    pub(crate) reactions: Vec<Reaction>,
    /// Who has voted in its poll, and for which answer.
    pub(crate) votes: Vec<(u64, u8)>,
    /// What a client wrote through REST, instead of invented words.
    pub(crate) written: Option<Box<Written>>,
}

/// How often one emoji was reacted with.
#[derive(Debug, Clone)]
pub(crate) struct Reaction {
    pub(crate) emoji: Value,
    pub(crate) count: u32,
    /// The bot is among them.
    pub(crate) me: bool,
}

impl Reaction {
    fn json(&self) -> Value {
        json!({
            "me_burst": false,
            "me": self.me,
            "emoji": self.emoji,
            "count_details": {"normal": self.count, "burst": 0},
            "count": self.count,
            "burst_colors": [],
        })
    }
}

/// A message that was written through REST, instead of invented.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    pub(crate) content: String,
    pub(crate) embeds: Vec<Value>,
    pub(crate) components: Value,
    pub(crate) attachments: Vec<Value>,
    pub(crate) nonce: Option<Value>,
    pub(crate) tts: bool,
    /// Discord's message flags, beside those that the world sets.
    pub(crate) flags: u32,
    /// Discord's type of the message; 0 and 19 follow from what it answers.
    pub(crate) kind: Option<u8>,
    pub(crate) poll: Option<Value>,
    pub(crate) sticker_items: Vec<Value>,
    /// Users.
    pub(crate) mentions: Vec<Value>,
    /// The webhook, and the author it speaks as.
    pub(crate) webhook: Option<(u64, Value)>,
    pub(crate) application: Option<u64>,
    /// What it answers: `interaction_metadata` and `interaction` of the message.
    pub(crate) interaction: Option<(Value, Value)>,
}

/// Only who the interaction was shown to sees it; the gateway doesn't tell of it.
pub(crate) const EPHEMERAL: u32 = 1 << 6;
/// The application is still thinking.
pub(crate) const LOADING: u32 = 1 << 7;

/// Remembers a message, so that it can be edited and deleted. The oldest is forgotten, of invented ones sooner.
pub(crate) fn remember(messages: &mut VecDeque<Message>, message: Message) {
    let written = messages
        .iter()
        .filter(|kept| kept.written.is_some())
        .count();
    let full = if message.written.is_some() {
        written >= WRITTEN_REMEMBERED
    } else {
        messages.len() - written >= REMEMBERED
    };
    if full {
        let same = |kept: &Message| kept.written.is_some() == message.written.is_some();
        if let Some(oldest) = messages.iter().position(same) {
            messages.remove(oldest);
        }
    }
    messages.push_back(message);
}

/// The message object.
#[derive(Debug, Serialize)]
pub(crate) struct MessageObject {
    #[serde(rename = "type")]
    kind: u8,
    pub(crate) tts: bool,
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
    pub(crate) mentions: Vec<Value>,
    mention_roles: [(); 0],
    mention_everyone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<MemberObject>,
    id: Id,
    flags: u32,
    embeds: Vec<Value>,
    edited_timestamp: Option<String>,
    content: String,
    components: Value,
    channel_type: u8,
    channel_id: Id,
    author: Author,
    attachments: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sticker_items: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interaction_metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interaction: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guild_id: Option<Id>,
}

/// Who speaks: a user, or a webhook as whom it likes.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Author {
    User(Box<UserObject>),
    Webhook(Value),
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
    /// Whether only one user may see it.
    pub(crate) fn is_ephemeral(&self) -> bool {
        let written = self.written.as_ref();
        written.is_some_and(|written| written.flags & EPHEMERAL != 0)
    }

    /// Whether it is invented, and with a poll: some are.
    pub(crate) fn has_invented_poll(&self) -> bool {
        self.written.is_none() && words::scramble(self.id).is_multiple_of(41)
    }

    /// The message object as REST answers it: without `guild_id` and `member`.
    pub(crate) fn json(&self, author: &User) -> MessageObject {
        let look = words::scramble(self.id ^ u64::from(self.edits));
        let first_look = words::scramble(self.id);
        let invented = || Written {
            content: words::sentence(look),
            embeds: if self.previewed {
                preview(self.id)
            } else {
                embeds(look)
            },
            components: json!([]),
            attachments: attachments(look, self.channel),
            nonce: Some(id(self.id >> 1)),
            poll: self
                .has_invented_poll()
                .then(|| poll(first_look, self.sent_ms)),
            ..Written::default()
        };
        let written = match &self.written {
            Some(written) => (**written).clone(),
            None => invented(),
        };
        let plain = if self.replies_to.is_some() { 19 } else { 0 };
        let (webhook, named) = written.webhook.unzip();
        let (interaction_metadata, interaction) = written.interaction.unzip();
        MessageObject {
            kind: written.kind.unwrap_or(plain),
            tts: written.tts,
            timestamp: timestamp(self.sent_ms),
            thread: None,
            referenced_message: self.replies_to.map(|_| ()),
            reactions: self.reactions.iter().map(Reaction::json).collect(),
            poll: written.poll,
            pinned: self.pinned,
            nonce: written.nonce,
            message_reference: self.replies_to.map(|answered| Reference {
                kind: 0,
                message_id: Id(answered),
                channel_id: Id(self.channel),
                guild_id: None,
            }),
            mentions: written.mentions,
            mention_roles: [],
            mention_everyone: self.written.is_none() && look.is_multiple_of(211),
            member: None,
            id: Id(self.id),
            flags: written.flags | if self.has_thread { HAS_THREAD } else { 0 },
            embeds: written.embeds,
            edited_timestamp: self.edited_ms.map(timestamp),
            content: written.content,
            components: written.components,
            channel_type: self.channel_kind,
            channel_id: Id(self.channel),
            author: match named {
                Some(named) => Author::Webhook(named),
                None => Author::User(Box::new(author.json())),
            },
            attachments: written.attachments,
            sticker_items: written.sticker_items,
            webhook_id: webhook.map(Id),
            application_id: written.application.map(Id),
            interaction_metadata,
            interaction,
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
fn preview(look: u64) -> Vec<Value> {
    vec![json!({
        "type": "rich",
        "title": words::name(look, " "),
        "description": words::sentence(look ^ 1),
        "url": "https://example.com/",
        "color": look & 0xFF_FFFF,
        "content_scan_version": 2,
        "fields": [{"name": "score", "value": "1.50", "inline": true}],
    })]
}

fn embeds(look: u64) -> Vec<Value> {
    if look.is_multiple_of(13) {
        preview(look)
    } else {
        Vec::new()
    }
}

fn attachments(look: u64, channel: u64) -> Vec<Value> {
    if !look.is_multiple_of(19) {
        return Vec::new();
    }
    let url = format!("https://cdn.example.com/attachments/{channel}/{look}/image.png?ex=1&is=2");
    vec![json!({
        "id": id(look >> 1),
        "filename": "image.png",
        "size": 33_181,
        "url": url,
        "proxy_url": url,
        "content_type": "image/png",
        "width": 640,
        "height": 480,
        "placeholder_version": 1,
    })]
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
