//! Packets: what is sent to Discord.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Refusal,
    shape::{number, object, snowflake, wrong_type},
};

/// The largest packet that Discord takes, in bytes of JSON.
///
/// Source: Discord, "Gateway", sending events: a larger one is answered with close code 4002.
pub const MAX_PACKET: usize = 4096;

/// A packet that may be sent to Discord, as the JSON text that will be sent: the sender's own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    json: String,
    opcode: u8,
    guild: Option<u64>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    op: Option<&'a RawValue>,
    #[serde(borrow, default)]
    d: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    guild_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    guild_ids: Option<&'a RawValue>,
}

impl Packet {
    /// Checks a packet. `what` names it in errors.
    ///
    /// Allowed are the opcodes that Discord documents for bots and that do not belong to keeping the connection: 3
    /// (presence), 4 (voice state), 8 (request members), 31 (request soundboard sounds), 43 (request channel info).
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
        let allowed = match opcode {
            3 | 4 | 8 | 31 | 43 => opcode as u8,
            1 | 2 | 6 => return Err(Refusal::OwnOpcode(opcode)),
            _ => return Err(Refusal::Opcode(opcode)),
        };
        if json.len() > MAX_PACKET {
            return Err(Refusal::TooLarge(json.len()));
        }
        let data = envelope.d.ok_or(Refusal::Missing("the packet's d"))?;
        let guild = guild_of(opcode, data)?;
        Ok(Self {
            json: json.to_owned(),
            opcode: allowed,
            guild,
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
        self.guild
    }
}

/// The guild that a packet's data name.
///
/// Voice states and member requests can't do without one: Discord closes the connection over it.
fn guild_of(opcode: u64, data: &RawValue) -> Result<Option<u64>, Refusal> {
    let data: Data<'_> = object(data.get(), "the packet's d")?;
    let guild = data
        .guild_id
        .map(|raw| snowflake(raw, "guild_id"))
        .transpose()?;
    if guild.is_none() && matches!(opcode, 4 | 8) {
        return Err(Refusal::Missing("guild_id"));
    }
    let Some(list) = data.guild_ids else {
        return Ok(guild);
    };
    let ids: Vec<&RawValue> = serde_json::from_str(list.get())
        .map_err(|_| wrong_type(list, "guild_ids", "a list of ids"))?;
    let mut first = None;
    for raw in ids {
        let id = snowflake(raw, "guild_ids")?;
        first.get_or_insert(id);
    }
    Ok(guild.or(first))
}
