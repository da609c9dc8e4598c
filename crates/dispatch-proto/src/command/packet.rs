//! Packets: what is sent to Discord.

mod data;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    MAX_PACKET, Refusal,
    shape::{number, object},
};
use data::About;

/// A packet that may be sent to Discord, as the JSON text that will be sent: the sender's own bytes.
///
/// It is complete: for an incomplete one Discord closes the connection, and with it goes what was sent after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    json: String,
    opcode: u8,
    about: About,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    op: Option<&'a RawValue>,
    #[serde(borrow, default)]
    d: Option<&'a RawValue>,
}

impl Packet {
    /// Checks a packet. `what` names it in errors.
    ///
    /// Allowed are the opcodes that Discord documents for bots and that do not belong to keeping the connection: 3
    /// (presence), 4 (voice state), 8 (request members), 31 (request soundboard sounds), 43 (request channel info), each with
    /// the fields that Discord requires. Fields that Discord doesn't document pass.
    ///
    /// # Errors
    ///
    /// Why it can't be sent.
    pub fn parse(json: &str, what: &'static str) -> Result<Self, Refusal> {
        let json = json.trim();
        let envelope: Envelope<'_> = object(json, what)?;
        let opcode = number(
            envelope.op.ok_or(Refusal::Missing("the packet's op"))?,
            "the packet's op",
        )?;
        let check = match opcode {
            3 => data::presence,
            4 => data::voice_state,
            8 => data::members_request,
            31 => data::sounds_request,
            43 => data::channel_info_request,
            1 | 2 | 6 => return Err(Refusal::OwnOpcode(opcode)),
            _ => return Err(Refusal::Opcode(opcode)),
        };
        if json.len() > MAX_PACKET {
            return Err(Refusal::TooLarge(json.len()));
        }
        let data = envelope.d.ok_or(Refusal::Missing("the packet's d"))?;
        let about = check(&object(data.get(), "the packet's d")?)?;
        Ok(Self {
            json: json.to_owned(),
            opcode: opcode as u8,
            about,
        })
    }

    /// The text to send.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The text to send.
    #[must_use]
    pub fn into_json(self) -> String {
        self.json
    }

    /// The gateway opcode.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        self.opcode
    }

    /// The guild that it is about, the first one if there are several.
    #[must_use]
    pub fn guild(&self) -> Option<u64> {
        self.about.guild
    }

    /// Whether it asks for a guild's full member list, which Discord limits for each guild.
    #[must_use]
    pub fn is_full_list(&self) -> bool {
        self.about.full_list
    }

    /// The nonce of a request for members, which the answers repeat.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.about.nonce.as_deref()
    }
}

#[cfg(test)]
mod tests;
