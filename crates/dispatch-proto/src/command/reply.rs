//! Replies to the sender of a command.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    codec::{self, Encoding},
    session::ShardEntry,
};

/// What the sender of a command gets if it set `reply_to`.
///
/// `{"ok":true,"shard":N}` when the shard has taken the command, `{"ok":false,"error":"…"}` when it was rejected, and for a
/// status `{"ok":true,"shard":N,"status":{…}}` or, of all shards, `{"ok":true,"shards":[…]}`.
#[derive(Clone, Debug, Serialize)]
pub struct Reply<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shards: Option<&'a [ShardEntry]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> Reply<'a> {
    /// The shard has taken the command.
    #[must_use]
    pub fn taken(shard: u32) -> Self {
        Self {
            ok: true,
            shard: Some(shard),
            status: None,
            shards: None,
            error: None,
        }
    }

    /// The shard's status, an object as it is kept on Redis.
    #[must_use]
    pub fn status(shard: u32, status: &'a RawValue) -> Self {
        Self {
            status: Some(status),
            ..Self::taken(shard)
        }
    }

    /// All shards.
    #[must_use]
    pub fn shards(shards: &'a [ShardEntry]) -> Self {
        Self {
            ok: true,
            shard: None,
            status: None,
            shards: Some(shards),
            error: None,
        }
    }

    /// The command was rejected.
    #[must_use]
    pub fn error(error: &'a str) -> Self {
        Self {
            ok: false,
            shard: None,
            status: None,
            shards: None,
            error: Some(error),
        }
    }

    /// The body of the message, in the encoding of the command: a Spectacles client decodes whatever arrives for it with the
    /// one decoder it has, and breaks over what that can't read.
    #[must_use]
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        // Text, numbers and checked JSON can't fail to be written.
        let json = serde_json::to_string(self).unwrap_or_default();
        codec::encode(&json, encoding).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::ShardStatus;

    #[test]
    fn wire_format_is_fixed() {
        let text = |reply: Reply<'_>| String::from_utf8(reply.encode(Encoding::Json)).unwrap();
        assert_eq!(text(Reply::taken(3)), r#"{"ok":true,"shard":3}"#);
        assert_eq!(
            text(Reply::error("no \"shard\"")),
            r#"{"ok":false,"error":"no \"shard\""}"#
        );
        let status: Box<RawValue> = serde_json::from_str(r#"{"shard":3}"#).unwrap();
        assert_eq!(
            text(Reply::status(3, &status)),
            r#"{"ok":true,"shard":3,"status":{"shard":3}}"#
        );
        let entry = ShardEntry {
            owner: Some("a".to_owned()),
            session_age: None,
            status: ShardStatus {
                shard: 0,
                status: "Connected".to_owned(),
                latency: 5,
                last_ack: String::new(),
            },
        };
        assert_eq!(
            text(Reply::shards(&[entry])),
            r#"{"ok":true,"shards":[{"owner":"a","shard":0,"status":"Connected","latency":5,"last_ack":""}]}"#
        );
        for encoding in [Encoding::Etf, Encoding::MsgPack] {
            let body = Reply::error("no").encode(encoding);
            let json = codec::decode(&body, encoding).unwrap();
            assert_eq!(json, r#"{"ok":false,"error":"no"}"#);
        }
    }
}
