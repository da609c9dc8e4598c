//! Encodings of a message's body: JSON, Erlang's External Term Format, MessagePack.
//!
//! JSON text is the form in which everything is handled; the other two are translated from and to it, in one pass and
//! without a tree in between. Integers of 64 bits are exact in all three. An integer beyond 64 bits in JSON becomes a
//! float, as in most JSON readers; Discord sends none.

mod etf;
mod mend;
mod msgpack;
mod transcode;

use serde_json::value::RawValue;
use thiserror::Error;

pub use etf::EtfError;

/// Nesting that is followed before a body is refused: what JSON readers commonly follow, and far from any stack's end.
pub const MAX_DEPTH: usize = 127;

/// How a body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// JSON text.
    #[default]
    Json,
    /// Erlang's External Term Format, as Discord's gateway writes it.
    Etf,
    /// MessagePack.
    MsgPack,
}

/// JSON text could not be written in another encoding.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The text is not JSON, or nested too deeply.
    #[error("not json: {0}")]
    Json(#[from] serde_json::Error),
    /// The text is not JSON, or can't be written as MessagePack.
    #[error("cannot be written as messagepack: {0}")]
    MsgPack(#[from] rmp_serde::encode::Error),
}

/// A body could not be read in its encoding.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Not JSON text.
    #[error("not json: {0}")]
    Json(serde_json::Error),
    /// Not an ETF term, or one that JSON can't express.
    #[error("not usable etf: {0}")]
    Etf(#[from] EtfError),
    /// Not a MessagePack value, or one that JSON can't express.
    #[error("not usable messagepack: {0}")]
    MsgPack(serde_json::Error),
    /// Bytes follow the MessagePack value.
    #[error("not usable messagepack: bytes follow the value")]
    MsgPackTrailing,
}

impl Encoding {
    /// The encoding by its name in `SPECTACLES_ENCODING`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "etf" => Some(Self::Etf),
            "msgpack" => Some(Self::MsgPack),
            _ => None,
        }
    }

    /// The content type that messages of this encoding carry.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Etf => "application/x-erlang-term",
            Self::MsgPack => "application/x-msgpack",
        }
    }

    /// The encoding that a content type names; `None` if it names none of the three.
    ///
    /// Neither ETF nor (for most of its life) MessagePack has a registered type, so the ones in use are all understood.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next()?.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Some(Self::Json),
            "application/x-erlang-term"
            | "application/x-erlang-binary"
            | "application/vnd.erlang.etf"
            | "application/x-etf"
            | "application/etf" => Some(Self::Etf),
            "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
                Some(Self::MsgPack)
            }
            _ => None,
        }
    }
}

/// Writes JSON text in an encoding. For [`Encoding::Json`] the text itself, unchecked. In the others
/// half surrogates and what is nested more than [`MAX_DEPTH`] deep become U+FFFD, and numbers beyond
/// a double the greatest one.
///
/// # Errors
///
/// If the text is not JSON.
pub fn encode(json: &str, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
    // Rarely is there anything to mend, so it is looked for only where the text was refused.
    strictly(json, encoding).or_else(|_| strictly(&mend::mend(json), encoding))
}

fn strictly(json: &str, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
    match encoding {
        Encoding::Json => Ok(json.as_bytes().to_vec()),
        Encoding::Etf => Ok(etf::encode(json)?),
        Encoding::MsgPack => msgpack::encode(json),
    }
}

/// Reads a body as JSON text. For [`Encoding::Json`] the body itself, checked to be JSON.
///
/// # Errors
///
/// If the body is not in that encoding, if as ETF or MessagePack it is nested more than [`MAX_DEPTH`] deep, or if it holds
/// what JSON has no form for (such as bytes that are not UTF-8).
pub fn decode(body: &[u8], encoding: Encoding) -> Result<String, DecodeError> {
    match encoding {
        Encoding::Json => {
            let value: &RawValue = serde_json::from_slice(body).map_err(DecodeError::Json)?;
            Ok(value.get().to_owned())
        }
        Encoding::Etf => Ok(etf::decode(body)?),
        Encoding::MsgPack => msgpack::decode(body),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const ALL: [Encoding; 3] = [Encoding::Json, Encoding::Etf, Encoding::MsgPack];

    /// JSON whose text is what serde_json writes, so that texts can be compared.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-300_i64..300).prop_map(Value::from),
            any::<i32>().prop_map(|n| Value::from(f64::from(n) / 1000.0)),
            (-1e300..1e300).prop_map(Value::from),
            (-1.0..1.0).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[a-z]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    #[test]
    fn content_types_name_encodings() {
        for encoding in ALL {
            assert_eq!(
                Encoding::of_content_type(encoding.content_type()),
                Some(encoding)
            );
        }
        assert_eq!(
            Encoding::of_content_type("Application/JSON; charset=utf-8"),
            Some(Encoding::Json)
        );
        assert_eq!(Encoding::of_content_type("application/octet-stream"), None);
        assert_eq!(Encoding::named("msgpack"), Some(Encoding::MsgPack));
        assert_eq!(Encoding::named("xml"), None);
    }

    #[test]
    fn what_has_no_form_is_replaced_not_refused() {
        let json = r#"{"\ud800":["a\udfffb",1e999,-1e999]}"#;
        let expected = r#"{"\ufffd":["a\ufffdb",1.7976931348623157e308,-1.7976931348623157e308]}"#;
        let expected: Value = serde_json::from_str(expected).unwrap();
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        for encoding in [Encoding::Etf, Encoding::MsgPack] {
            let text = decode(&encode(json, encoding).unwrap(), encoding).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
            let text = decode(&encode(&deep, encoding).unwrap(), encoding).unwrap();
            assert_eq!(text.matches('[').count(), MAX_DEPTH, "{text}");
            assert!(encode("{", encoding).is_err());
        }
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        let deep = "[".repeat(200_000);
        assert!(decode(deep.as_bytes(), Encoding::Json).is_err());
        let lists = [108_u8, 0, 0, 0, 1].repeat(200_000);
        assert!(matches!(
            decode(&[&[131], lists.as_slice()].concat(), Encoding::Etf),
            Err(DecodeError::Etf(EtfError::TooDeep))
        ));
        assert!(decode(&[0x91].repeat(200_000), Encoding::MsgPack).is_err());
    }

    #[test]
    fn the_greatest_depth_goes_both_ways() {
        let json = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        for encoding in ALL {
            let body = encode(&json, encoding).unwrap();
            assert_eq!(decode(&body, encoding).unwrap(), json, "{encoding:?}");
        }
    }

    #[test]
    fn what_follows_the_value_is_refused() {
        for encoding in ALL {
            let mut body = encode("{}", encoding).unwrap();
            body.push(b'1');
            assert!(decode(&body, encoding).is_err(), "{encoding:?}");
        }
        for encoding in [Encoding::Etf, Encoding::MsgPack] {
            assert!(encode("{} 1", encoding).is_err(), "{encoding:?}");
            assert!(encode("", encoding).is_err(), "{encoding:?}");
        }
    }

    proptest! {
        #[test]
        fn decode_inverts_encode(value in json()) {
            let text = value.to_string();
            for encoding in ALL {
                let body = encode(&text, encoding).unwrap();
                prop_assert_eq!(&decode(&body, encoding).unwrap(), &text);
            }
        }

        #[test]
        fn no_body_panics(mut body in prop::collection::vec(any::<u8>(), 0..300), versioned: bool) {
            if versioned {
                body.insert(0, 131);
            }
            for encoding in ALL {
                if let Ok(json) = decode(&body, encoding) {
                    prop_assert!(serde_json::from_str::<&RawValue>(&json).is_ok(), "{json}");
                }
            }
        }

        #[test]
        fn no_damaged_body_panics(value in json(), at: prop::sample::Index, byte: u8) {
            for encoding in ALL {
                let mut body = encode(&value.to_string(), encoding).unwrap();
                let at = at.index(body.len());
                body[at] = byte;
                let _ = decode(&body, encoding);
                let _ = decode(&body[..at], encoding);
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            for encoding in ALL {
                let _ = encode(&text, encoding);
            }
        }
    }
}
