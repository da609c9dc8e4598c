//! What the cache keeps, for how long, and in which layout.

use std::str::FromStr;

use thiserror::Error;

use super::entity::Family;

/// The `STATE_*` settings and `CACHE_LAYOUT`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is one switch of the settings page
pub struct Settings {
    /// `STATE_ENABLED`: without it nothing is stored and no event has an `old`.
    pub enabled: bool,
    /// `STATE_OLD`: without it no event has an `old`; the state is kept all the same.
    pub old: bool,
    /// `STATE_MEMBER`.
    pub member: bool,
    /// `STATE_MEMBER_TTL` in milliseconds, 0 = no expiry; see [`Settings::members_expire`].
    pub member_ttl_ms: u64,
    /// `STATE_MESSAGE`.
    pub message: bool,
    /// `STATE_MESSAGE_TTL` in milliseconds, 0 = no expiry.
    pub message_ttl_ms: u64,
    /// `STATE_PRESENCE`.
    pub presence: bool,
    /// `STATE_EMOJI`: emojis and stickers.
    pub emoji: bool,
    /// `STATE_VOICE`.
    pub voice: bool,
    /// `CACHE_LAYOUT`.
    pub layouts: Layouts,
}

/// How long somebody who joined is remembered where members are not cached.
const ARRIVAL_MS: u64 = 3_600_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            old: true,
            member: true,
            member_ttl_ms: 0,
            message: true,
            message_ttl_ms: 600_000,
            presence: true,
            emoji: true,
            voice: true,
            layouts: Layouts {
                dispatch: true,
                spectacles: false,
            },
        }
    }
}

impl Settings {
    /// Whether objects of the family are stored. The bot's own member is stored at any
    /// `STATE_MEMBER`: [`super::plan`] sees to that.
    #[must_use]
    pub fn keeps(&self, family: Family) -> bool {
        self.enabled
            && match family {
                Family::Member => self.member,
                Family::Message => self.message,
                Family::Presence => self.presence,
                Family::Emoji | Family::Sticker => self.emoji,
                Family::Voice => self.voice,
                Family::Arrival => !self.member,
                _ => true,
            }
    }

    /// How long an object of the family lives after its last change, in milliseconds; none = for
    /// ever.
    #[must_use]
    pub fn ttl_ms(&self, family: Family) -> Option<u64> {
        let ttl = match family {
            Family::Member if self.members_expire() => self.member_ttl_ms,
            Family::Message => self.message_ttl_ms,
            Family::Arrival => ARRIVAL_MS,
            _ => 0,
        };
        (ttl > 0).then_some(ttl)
    }

    /// Whether cached members expire. Fields of a Spectacles hash can't (Redis before 7.4), so with
    /// that layout, alone or beside the other, members stay until they leave: one index lists them for
    /// both.
    #[must_use]
    pub fn members_expire(&self) -> bool {
        self.member_ttl_ms > 0 && !self.layouts.spectacles
    }
}

/// The layouts that are written. State is read from `dispatch` where it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layouts {
    /// One key for each object.
    pub dispatch: bool,
    /// The hashes of Spectacles.
    pub spectacles: bool,
}

impl FromStr for Layouts {
    type Err = UnknownLayout;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "dispatch" => Ok(Self {
                dispatch: true,
                spectacles: false,
            }),
            "spectacles" => Ok(Self {
                dispatch: false,
                spectacles: true,
            }),
            "both" => Ok(Self {
                dispatch: true,
                spectacles: true,
            }),
            _ => Err(UnknownLayout),
        }
    }
}

/// A `CACHE_LAYOUT` that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected dispatch, spectacles or both")]
pub struct UnknownLayout;
