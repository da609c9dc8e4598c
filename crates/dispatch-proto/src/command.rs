//! Commands: what a bot asks of the gateway, and how it travels to the shard that does it.
//!
//! Three forms come in. On `gateway.send`, JSON:
//!
//! ```text
//! {"op":0,"shard":N,"data":{"op":4,"d":{…}}}   send `data` on shard N; without `shard`, on the shard of data.d.guild_id
//! {"op":1,"shard":N}                           reconnect shard N, resuming
//! {"op":2,"shard":N}                           reconnect shard N with a new session
//! {"op":3,"shard":N}                           reply with the status of shard N
//! {"op":4}                                     reply with all shards
//! ```
//!
//! On the Spectacles exchange, in any encoding: `{"guild_id":…,"packet":{…}}` with routing key `SEND`, or the packet alone
//! with the shard's number as routing key. On to `gateway:<shard>` goes the packet alone, with the headers below.
//!
//! A shard that is named is obeyed, even if it is not the guild's: that is what `op` 0 has always meant.

mod packet;
mod refusal;
mod reply;
mod shape;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use packet::Packet;
pub use refusal::Refusal;
pub use reply::Reply;

use crate::partition::shard_of;

/// The largest packet that Discord takes, in bytes of JSON.
///
/// Source: Discord, "Gateway", sending events: a larger one is answered with close code 4002.
pub const MAX_PACKET: usize = 4096;
use shape::{number, object, snowflake};

/// Header of a command for a shard: [`Operation::header`].
pub const OPERATION_HEADER: &str = "x-dispatch-op";
/// Header of a command for a shard: until when a shard may take it, in milliseconds of Unix time.
pub const DEADLINE_HEADER: &str = "x-dispatch-deadline";
/// Header of a command for a shard: the content type in which its sender reads the answer; JSON if there is none.
///
/// The command itself is JSON there, whatever it was when it came.
pub const REPLY_TYPE_HEADER: &str = "x-dispatch-reply-type";

/// A well-formed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The shard it is for.
    pub target: Target,
    /// What to do.
    pub action: Action,
}

/// The shard that a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The shard of this number, which may not exist.
    Shard(u64),
    /// The shard that owns this guild.
    Guild(u64),
    /// None in particular.
    All,
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// To send a packet to Discord.
    Send(Packet),
    /// To connect anew and resume the session.
    Reconnect,
    /// To connect anew with a new session, so that Discord sends all guilds again.
    Identify,
    /// To say how the shard is; each of them, if it is for none in particular.
    Status,
}

/// What the shard's owner is to do with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Send the body to Discord.
    Send,
    /// Connect anew and resume.
    Reconnect,
    /// Connect anew with a new session.
    Identify,
}

impl Operation {
    /// Value of [`OPERATION_HEADER`]; no header for a send, so that a client's own message to the queue is one.
    #[must_use]
    pub fn header(self) -> Option<&'static str> {
        match self {
            Self::Send => None,
            Self::Reconnect => Some("reconnect"),
            Self::Identify => Some("identify"),
        }
    }
}

impl Target {
    /// The shard's number, out of `total`.
    ///
    /// # Errors
    ///
    /// If there is no such shard.
    pub fn shard(self, total: u32) -> Result<u32, Refusal> {
        match self {
            Self::Shard(shard) => u32::try_from(shard)
                .ok()
                .filter(|shard| *shard < total)
                .ok_or(Refusal::UnknownShard { shard, total }),
            Self::Guild(guild) => shard_of(guild, total).ok_or(Refusal::NoShards),
            Self::All if total == 0 => Err(Refusal::NoShards),
            Self::All => Ok(0),
        }
    }
}

#[derive(Deserialize)]
struct SendBody<'a> {
    #[serde(borrow, default)]
    op: Option<&'a RawValue>,
    #[serde(borrow, default)]
    shard: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SpectaclesBody<'a> {
    #[serde(borrow, default)]
    guild_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    packet: Option<&'a RawValue>,
}

impl Command {
    /// Reads a message of `gateway.send`.
    ///
    /// # Errors
    ///
    /// Why it can't be carried out, but for whether the shard exists.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let json = str::from_utf8(body).map_err(|_| Refusal::NotText)?;
        let body: SendBody<'_> = object(json, "the command")?;
        let op = body.op.ok_or(Refusal::Missing("op"))?;
        let named = body.shard.map(|raw| number(raw, "shard")).transpose()?;
        let action = match number(op, "op")? {
            0 => {
                let data = body.data.ok_or(Refusal::Missing("data"))?;
                return Self::send(named, Packet::parse(data.get(), "data")?);
            }
            1 => Action::Reconnect,
            2 => Action::Identify,
            3 => Action::Status,
            4 => {
                let (target, action) = (Target::All, Action::Status);
                return Ok(Self { target, action });
            }
            other => return Err(Refusal::UnknownOp(other)),
        };
        let target = Target::Shard(named.ok_or(Refusal::MissingShard)?);
        Ok(Self { target, action })
    }

    /// Reads a Spectacles message with routing key `SEND`, decoded to JSON. What concerns no guild goes to shard 0.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_spectacles(json: &str) -> Result<Self, Refusal> {
        let body: SpectaclesBody<'_> = object(json, "the command")?;
        // Spectacles clients say 0 where there is no guild.
        let guild = body
            .guild_id
            .filter(|raw| !matches!(raw.get(), "0" | "\"0\""))
            .map(|raw| snowflake(raw, "guild_id"))
            .transpose()?;
        let packet = body.packet.ok_or(Refusal::Missing("packet"))?;
        let packet = Packet::parse(packet.get(), "packet")?;
        let guild = guild.or(packet.guild());
        Ok(Self {
            target: guild.map_or(Target::Shard(0), Target::Guild),
            action: Action::Send(packet),
        })
    }

    /// Reads a Spectacles message whose routing key is a shard's number: a packet, decoded to JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_packet(shard: u32, json: &str) -> Result<Self, Refusal> {
        Self::send(Some(u64::from(shard)), Packet::parse(json, "the packet")?)
    }

    /// Whether the packet is about a guild that belongs to another shard than the one it goes to. Discord ignores such a
    /// packet, so that a sender who counts shards wrong should be able to find out.
    #[must_use]
    pub fn is_astray(&self, total: u32) -> bool {
        match (&self.action, self.target.shard(total)) {
            (Action::Send(packet), Ok(shard)) => packet
                .guild()
                .is_some_and(|guild| shard_of(guild, total) != Some(shard)),
            _ => false,
        }
    }

    fn send(named: Option<u64>, packet: Packet) -> Result<Self, Refusal> {
        let target = named
            .map(Target::Shard)
            .or(packet.guild().map(Target::Guild))
            .ok_or(Refusal::MissingShard)?;
        Ok(Self {
            target,
            action: Action::Send(packet),
        })
    }
}

#[cfg(test)]
mod tests;
