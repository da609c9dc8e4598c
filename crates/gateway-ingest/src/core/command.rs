//! Commands for a shard, as they lie in `gateway:<shard>`.

use dispatch_proto::command::{self as proto};
pub use dispatch_proto::command::{OPERATION_HEADER as HEADER_OP, Packet};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// Request guild members.
pub const REQUEST_MEMBERS: u8 = 8;

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a packet to Discord.
    Send(Packet),
    /// Close the connection and resume.
    Reconnect,
    /// Close the connection and identify anew.
    Identify,
}

/// Why a command is refused.
#[derive(Debug, Error)]
pub enum Refusal {
    /// Not a packet that a client may send.
    #[error(transparent)]
    Packet(#[from] proto::Refusal),
    /// An unknown [`HEADER_OP`].
    #[error("header {HEADER_OP} is {0:?}, not reconnect or identify")]
    UnknownOp(String),
}

/// Reads a command from its body and its [`HEADER_OP`].
///
/// The router has validated it already, but a Spectacles client may publish to the shard's queue directly.
///
/// # Errors
///
/// If it is not a packet that Discord takes, or the header is unknown.
pub fn read(body: &[u8], op: Option<&str>) -> Result<Action, Refusal> {
    match op {
        None => packet(body).map(Action::Send),
        Some("reconnect") => Ok(Action::Reconnect),
        Some("identify") => Ok(Action::Identify),
        Some(other) => Err(Refusal::UnknownOp(other.to_owned())),
    }
}

fn packet(body: &[u8]) -> Result<Packet, Refusal> {
    let text = str::from_utf8(body).map_err(|_| proto::Refusal::NotText)?;
    Ok(Packet::parse(text, "the packet")?)
}

/// A nonce as text, whatever type the client chose.
fn nonce(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// An answer that a request came too soon: nothing more of this kind before `retry_after_ms` have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimited {
    /// The opcode of the request.
    pub opcode: u8,
    /// The guild it was about.
    pub guild: u64,
    /// How long to wait, in milliseconds.
    pub retry_after_ms: u64,
    /// The request's nonce, if it had one.
    pub nonce: Option<String>,
}

/// Reads the gateway payload of a RATE_LIMITED dispatch; `None` if it is not about a guild or can't be read.
#[must_use]
pub fn rate_limited(payload: &str) -> Option<RateLimited> {
    #[derive(Deserialize)]
    struct Payload {
        d: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        opcode: u8,
        retry_after: f64,
        meta: Meta,
    }
    #[derive(Deserialize)]
    struct Meta {
        guild_id: Value,
        #[serde(default)]
        nonce: Value,
    }

    let Payload { d } = serde_json::from_str(payload).ok()?;
    // A wait of more than an hour can't be meant; it would only fill the queue.
    let seconds = d.retry_after.clamp(0.0, 3600.0);
    Some(RateLimited {
        opcode: d.opcode,
        guild: snowflake(&d.meta.guild_id)?,
        retry_after_ms: (seconds * 1000.0).ceil() as u64,
        nonce: nonce(&d.meta.nonce),
    })
}

fn snowflake(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_without_a_header_is_a_packet() {
        let text = r#"{"op":43, "d":{"guild_id":7,"fields":[]} }"#;
        match read(text.as_bytes(), None).unwrap() {
            Action::Send(packet) => assert_eq!((packet.json(), packet.guild()), (text, Some(7))),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn headers_decide_the_rest() {
        assert_eq!(read(b"{}", Some("reconnect")).unwrap(), Action::Reconnect);
        assert_eq!(read(b"", Some("identify")).unwrap(), Action::Identify);
        assert!(matches!(read(b"{}", Some("x")), Err(Refusal::UnknownOp(_))));
    }

    #[test]
    fn refusals_say_why() {
        let reason = |body: &[u8]| read(body, None).unwrap_err().to_string();
        assert!(reason(b"nonsense").contains("not valid json"));
        assert!(reason(&[0xFF]).contains("not utf-8 text"));
        for opcode in [0, 1, 2, 5, 6, 7, 9, 10, 11, 256, 4000] {
            let text = format!(r#"{{"op":{opcode},"d":{{}}}}"#);
            assert!(reason(text.as_bytes()).starts_with(&format!("opcode {opcode} ")));
        }
        let large = format!(
            r#"{{"op":3,"d":{{"x":"{}"}}}}"#,
            "x".repeat(proto::MAX_PACKET)
        );
        assert!(reason(large.as_bytes()).contains("discord takes at most 4096"));
        let incomplete = br#"{"op":3,"d":{"status":"online"}}"#;
        assert_eq!(reason(incomplete), "since is missing");
    }

    #[test]
    fn rate_limit_answers_are_read() {
        let payload = r#"{"t":"RATE_LIMITED","s":1,"op":0,"d":{"opcode":8,"retry_after":1.5,"meta":{"guild_id":"9","nonce":"x"}}}"#;
        let expected = RateLimited {
            opcode: 8,
            guild: 9,
            retry_after_ms: 1500,
            nonce: Some("x".to_owned()),
        };
        assert_eq!(rate_limited(payload), Some(expected));
        assert_eq!(
            rate_limited(r#"{"d":{"opcode":8,"retry_after":1,"meta":{}}}"#),
            None
        );
        assert_eq!(rate_limited("{"), None);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..100), text in r#"\{"op":[0-9]{1,3},"d":.{0,20}\}"#) {
            let _ = read(&body, None);
            let _ = read(text.as_bytes(), None);
            let _ = rate_limited(&text);
        }
    }
}
