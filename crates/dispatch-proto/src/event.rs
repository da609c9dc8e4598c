//! Events: reading the envelope that Discord sends, writing the one that consumers get.

use std::{borrow::Cow, fmt::Write as _, io::Write as _};

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

/// A dispatch as Discord sends it, its data unparsed.
#[derive(Clone, Debug)]
pub struct Dispatch<'a> {
    /// Event name (`t`), 1 to 255 bytes: an AMQP routing key holds no more.
    pub name: Cow<'a, str>,
    /// Data (`d`) as Discord's own text; `null` if there is none.
    pub data: &'a str,
}

/// Why a payload can't be published as an event.
#[derive(Debug, Error)]
pub enum PayloadError {
    /// Not JSON, or not an object with an `op`.
    #[error("payload is not a gateway payload: {0}")]
    Json(#[from] serde_json::Error),
    /// Not opcode 0.
    #[error("payload is opcode {0}, not a dispatch")]
    NotADispatch(u8),
    /// A dispatch without a usable `t` can't be routed.
    #[error("dispatch has no event name of 1 to 255 bytes")]
    NoName,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    op: u8,
    #[serde(borrow, default)]
    t: Option<Text<'a>>,
    #[serde(borrow, default)]
    d: Option<&'a RawValue>,
}

/// Borrowed unless it is escaped: inside of an `Option`, a bare `Cow` is always owned.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Dispatch<'a> {
    /// Reads the envelope of a gateway payload; `d` is checked to be JSON, not parsed.
    ///
    /// # Errors
    ///
    /// If the payload is not JSON, not a dispatch, or has no name.
    pub fn parse(payload: &'a [u8]) -> Result<Self, PayloadError> {
        let envelope: Envelope<'a> = serde_json::from_slice(payload)?;
        if envelope.op != 0 {
            return Err(PayloadError::NotADispatch(envelope.op));
        }
        match envelope.t {
            Some(Text(name)) if (1..=255).contains(&name.len()) => Ok(Self {
                name,
                data: envelope.d.map_or("null", RawValue::get),
            }),
            _ => Err(PayloadError::NoName),
        }
    }
}

/// The body of an enriched event: Discord's bytes as `d`, and `old` if there is a previous state.
#[must_use]
pub fn enriched(name: &str, sequence: u64, data: &str, old: Option<&str>) -> Vec<u8> {
    let old_len = old.map_or(0, |old| old.len() + 8);
    let mut body = Vec::with_capacity(data.len() + old_len + name.len() + 48);
    // Writing to a vector can't fail.
    let _ = write!(body, "{{\"op\":0,\"s\":{sequence},\"t\":");
    // A name comes from Discord; should it ever hold a quote, the body stays JSON.
    let _ = serde_json::to_writer(&mut body, name);
    body.extend_from_slice(b",\"d\":");
    body.extend_from_slice(data.as_bytes());
    if let Some(old) = old {
        body.extend_from_slice(b",\"old\":");
        body.extend_from_slice(old.as_bytes());
    }
    body.push(b'}');
    body
}

/// `message_id` of an event: the same however often it is published, so that a consumer can drop a repeat.
#[must_use]
pub fn message_id(session: &str, sequence: u64) -> String {
    let mut id = String::with_capacity(session.len() + 21);
    // Writing to a string can't fail.
    let _ = write!(id, "{session}:{sequence}");
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_keeps_discords_bytes() {
        let payload = br#"{"t":"X","s":3,"op":0,"d":{ "b":1.0, "a":[ ] }}"#;
        let dispatch = Dispatch::parse(payload).unwrap();
        assert!(matches!(dispatch.name, Cow::Borrowed("X")));
        assert_eq!(dispatch.data, r#"{ "b":1.0, "a":[ ] }"#);
    }

    #[test]
    fn missing_data_reads_as_null() {
        assert_eq!(
            Dispatch::parse(br#"{"t":"RESUMED","s":1,"op":0}"#)
                .unwrap()
                .data,
            "null"
        );
        assert_eq!(
            Dispatch::parse(br#"{"t":"RESUMED","s":1,"op":0,"d":null}"#)
                .unwrap()
                .data,
            "null"
        );
    }

    #[test]
    fn unusable_payloads_say_why() {
        let error = |payload: &str| Dispatch::parse(payload.as_bytes()).unwrap_err();
        assert!(matches!(
            error("{\"op\":0,\"t\":\"X\",\"d\":"),
            PayloadError::Json(_)
        ));
        assert!(matches!(
            error(r#"{"op":11}"#),
            PayloadError::NotADispatch(11)
        ));
        assert!(matches!(error(r#"{"op":0,"d":{}}"#), PayloadError::NoName));
        assert!(matches!(
            error(r#"{"op":0,"t":"","d":{}}"#),
            PayloadError::NoName
        ));
        assert!(matches!(
            error(&format!(r#"{{"op":0,"t":"{}"}}"#, "x".repeat(256))),
            PayloadError::NoName
        ));
    }

    #[test]
    fn enriched_body_is_fixed() {
        let body = enriched(
            "MESSAGE_DELETE",
            5,
            r#"{"id":"1"}"#,
            Some(r#"{"id":"1","content":"x"}"#),
        );
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"op":0,"s":5,"t":"MESSAGE_DELETE","d":{"id":"1"},"old":{"id":"1","content":"x"}}"#
        );
        assert_eq!(
            enriched("X", 1, "null", None),
            br#"{"op":0,"s":1,"t":"X","d":null}"#
        );
    }
}
