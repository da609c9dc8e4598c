//! Gateway payloads other than dispatches: what is read, and what is answered (pure).

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    close::CloseCode,
    etf,
    handshake::{Encoding, is_status},
};

/// A client's payload may not be longer than this (bytes).
pub(crate) const MAX_PAYLOAD: usize = 4_096;

/// What a client may send.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Payload {
    /// Op 1.
    Heartbeat,
    /// Op 2, with `d`.
    Identify(Value),
    /// Op 6, with `d`.
    Resume(Value),
    /// Op 3, 4, 8, 31 or 43: the opcode and the whole payload.
    Command(u64, Value),
}

impl Payload {
    /// Reads one message.
    ///
    /// # Errors
    ///
    /// [`CloseCode::DecodeError`] for what is too long, can't be decoded or is of the wrong type;
    /// [`CloseCode::UnknownOpcode`] for an opcode that clients may not send.
    pub(crate) fn read(message: &[u8], encoding: Encoding) -> Result<Self, CloseCode> {
        if message.len() > MAX_PAYLOAD {
            return Err(CloseCode::DecodeError);
        }
        let payload = match encoding {
            Encoding::Json => serde_json::from_slice(message).ok(),
            Encoding::Etf => etf::decode(message),
        };
        let mut payload: Value = payload.ok_or(CloseCode::DecodeError)?;
        let op = payload["op"].as_u64().ok_or(CloseCode::DecodeError)?;
        let d = &payload["d"];
        match op {
            1 if d.is_null() || d.is_u64() => Ok(Self::Heartbeat),
            2 if d.is_object() => Ok(Self::Identify(payload["d"].take())),
            6 if d.is_object() => Ok(Self::Resume(payload["d"].take())),
            3 if is_presence(d) => Ok(Self::Command(op, payload)),
            4 | 8 | 43 if is_id(&d["guild_id"]) => Ok(Self::Command(op, payload)),
            31 if d["guild_ids"]
                .as_array()
                .is_some_and(|ids| ids.iter().all(is_id)) =>
            {
                Ok(Self::Command(op, payload))
            }
            1 | 2 | 3 | 4 | 6 | 8 | 31 | 43 => Err(CloseCode::DecodeError),
            _ => Err(CloseCode::UnknownOpcode),
        }
    }
}

fn is_presence(d: &Value) -> bool {
    is_status(&d["status"]) && d["activities"].is_array() && d["afk"].is_boolean()
}

/// A snowflake, as a string or (Discord takes both) a number.
fn is_id(value: &Value) -> bool {
    id(value).is_some()
}

/// Reads a snowflake.
pub(crate) fn id(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Op 10.
pub(crate) fn hello(interval: Duration) -> String {
    let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    control(
        10,
        &json!({"heartbeat_interval": interval, "_trace": ["[\"discord-sim\"]"]}),
    )
}

/// Op 11.
pub(crate) fn heartbeat_ack() -> String {
    control(11, &Value::Null)
}

/// Op 1, from the gateway.
pub(crate) fn heartbeat_request() -> String {
    control(1, &Value::Null)
}

/// Op 7.
pub(crate) fn reconnect() -> String {
    control(7, &Value::Null)
}

/// Op 9.
pub(crate) fn invalid_session(resumable: bool) -> String {
    control(9, &Value::Bool(resumable))
}

fn control(op: u64, d: &Value) -> String {
    format!("{{\"t\":null,\"s\":null,\"op\":{op},\"d\":{d}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Payload, CloseCode> {
        Payload::read(text.as_bytes(), Encoding::Json)
    }

    #[test]
    fn commands_are_read_whole() {
        let voice = r#"{"op":4,"d":{"guild_id":"1","channel_id":null}}"#;
        assert!(matches!(read(voice), Ok(Payload::Command(4, _))));
        assert_eq!(read(r#"{"op":1,"d":null}"#), Ok(Payload::Heartbeat));
        assert_eq!(read(r#"{"op":1,"d":251}"#), Ok(Payload::Heartbeat));
    }

    #[test]
    fn what_discord_refuses_is_refused() {
        for text in [
            "",
            "{",
            r#"{"op":"1"}"#,
            r#"{"op":1,"d":"x"}"#,
            r#"{"op":2,"d":null}"#,
            r#"{"op":3,"d":{"status":"online"}}"#,
            r#"{"op":3,"d":{"status":"here","activities":[],"afk":false}}"#,
            r#"{"op":8,"d":{}}"#,
            r#"{"op":31,"d":{"guild_ids":["x"]}}"#,
        ] {
            assert_eq!(read(text), Err(CloseCode::DecodeError), "{text}");
        }
        for text in [r#"{"op":0,"d":{}}"#, r#"{"op":7}"#, r#"{"op":99,"d":null}"#] {
            assert_eq!(read(text), Err(CloseCode::UnknownOpcode), "{text}");
        }
        let long = format!(r#"{{"op":1,"d":null,"x":"{}"}}"#, "x".repeat(MAX_PAYLOAD));
        assert_eq!(read(&long), Err(CloseCode::DecodeError));
    }

    #[test]
    fn answers_have_their_keys_in_discords_order() {
        assert_eq!(heartbeat_ack(), r#"{"t":null,"s":null,"op":11,"d":null}"#);
        assert_eq!(
            invalid_session(true),
            r#"{"t":null,"s":null,"op":9,"d":true}"#
        );
        assert!(hello(Duration::from_millis(41_250)).contains(r#""heartbeat_interval":41250"#));
    }
}
