//! Discord's answers to what it refuses.
//!
//! <https://discord.com/developers/docs/topics/opcodes-and-status-codes#json>

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// An HTTP status and a JSON body with a code of its own.
#[derive(Debug)]
pub(super) struct Refusal(StatusCode, Value);

impl Refusal {
    pub(super) fn new(status: StatusCode, code: u32, message: &str) -> Self {
        Self(status, json!({"message": message, "code": code}))
    }

    pub(super) fn bad(code: u32, message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, 0, "404: Not Found")
    }

    /// What a route names does not exist, or the bot can't know of it.
    pub(super) fn unknown(what: Unknown) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            what as u32,
            &format!("Unknown {}", what.name()),
        )
    }

    pub(super) fn missing_access() -> Self {
        Self::new(StatusCode::FORBIDDEN, 50_001, "Missing Access")
    }

    /// One field of the body, or one id of the path, is wrong.
    pub(super) fn form(field: &str, code: &str, message: &str) -> Self {
        // `embeds.0.title` is nested, as the body is.
        let mut errors = json!({"_errors": [{"code": code, "message": message}]});
        for name in field.rsplit('.') {
            errors = json!({ name: errors });
        }
        let body = json!({"message": "Invalid Form Body", "code": 50_035, "errors": errors});
        Self(StatusCode::BAD_REQUEST, body)
    }

    pub(super) fn required(field: &str) -> Self {
        Self::form(field, "BASE_TYPE_REQUIRED", "This field is required")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

/// What may be unknown, with Discord's code.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(super) enum Unknown {
    Channel = 10_003,
    Guild = 10_004,
    Invite = 10_006,
    Member = 10_007,
    Message = 10_008,
    Role = 10_011,
    User = 10_013,
    Emoji = 10_014,
    Webhook = 10_015,
    Ban = 10_026,
    Entitlement = 10_029,
    Lobby = 10_031,
    GuildTemplate = 10_057,
    Sticker = 10_060,
    StickerPack = 10_061,
    Interaction = 10_062,
    ApplicationCommand = 10_063,
    CommandPermissions = 10_066,
    StageInstance = 10_067,
    ScheduledEvent = 10_070,
    Sound = 10_097,
}

impl Unknown {
    fn name(self) -> &'static str {
        match self {
            Self::Channel => "Channel",
            Self::Guild => "Guild",
            Self::Invite => "Invite",
            Self::Member => "Member",
            Self::Message => "Message",
            Self::Role => "Role",
            Self::User => "User",
            Self::Emoji => "Emoji",
            Self::Webhook => "Webhook",
            Self::Ban => "Ban",
            Self::Sticker => "sticker",
            Self::Interaction => "interaction",
            Self::ApplicationCommand => "application command",
            Self::CommandPermissions => "application command permissions",
            Self::StageInstance => "Stage Instance",
            Self::ScheduledEvent => "Guild Scheduled Event",
            Self::Sound => "Sound",
            Self::GuildTemplate => "guild template",
            Self::Entitlement => "entitlement",
            Self::Lobby => "lobby",
            Self::StickerPack => "sticker pack",
        }
    }
}
