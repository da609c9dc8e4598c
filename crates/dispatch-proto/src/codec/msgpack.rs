//! MessagePack: numbers in their shortest form, strings as `str`, objects as maps with string keys.
//!
//! Source: the MessagePack specification. Read are also `bin` values that are UTF-8 and map keys that are numbers;
//! extension types are refused.

use std::io::Cursor;

use super::{DecodeError, EncodeError, MAX_DEPTH, transcode::transcode};

pub(super) fn encode(json: &str) -> Result<Vec<u8>, EncodeError> {
    let mut body = Vec::with_capacity(json.len());
    let mut from = serde_json::Deserializer::from_str(json);
    transcode(&mut from, &mut rmp_serde::Serializer::new(&mut body))?;
    from.end()?;
    Ok(body)
}

pub(super) fn decode(body: &[u8]) -> Result<String, DecodeError> {
    let mut json = Vec::with_capacity(body.len() + body.len() / 4);
    let mut from = rmp_serde::Deserializer::new(Cursor::new(body));
    // The reader refuses when its count reaches zero, so that one more than the depth is allowed for.
    from.set_max_depth(MAX_DEPTH + 1);
    let mut to = serde_json::Serializer::new(&mut json);
    transcode(&mut from, &mut to).map_err(DecodeError::MsgPack)?;
    if from.position() != body.len() as u64 {
        return Err(DecodeError::MsgPackTrailing);
    }
    String::from_utf8(json).map_err(|error| DecodeError::MsgPack(serde::ser::Error::custom(error)))
}

#[cfg(test)]
mod tests {
    use rmpv::Value;

    use super::*;

    #[test]
    fn wire_format_is_fixed() {
        let body = encode(r#"{"a":[1,-1,300,1.5,null,true,"x"]}"#).unwrap();
        assert_eq!(
            body,
            b"\x81\xa1a\x97\x01\xff\xcd\x01\x2c\xcb\x3f\xf8\0\0\0\0\0\0\xc0\xc3\xa1x"
        );
    }

    #[test]
    fn another_reader_sees_the_same() {
        let body =
            encode(r#"{"id":18446744073709551615,"n":-9223372036854775808,"l":[]}"#).unwrap();
        let value = rmpv::decode::read_value(&mut body.as_slice()).unwrap();
        let expected = Value::Map(vec![
            ("id".into(), u64::MAX.into()),
            ("n".into(), i64::MIN.into()),
            ("l".into(), Value::Array(Vec::new())),
        ]);
        assert_eq!(value, expected);
    }

    #[test]
    fn another_writers_forms_are_read() {
        let value = Value::Map(vec![
            ("bin".into(), Value::Binary(b"text".to_vec())),
            (7.into(), Value::F32(0.5)),
        ]);
        let mut body = Vec::new();
        rmpv::encode::write_value(&mut body, &value).unwrap();
        assert_eq!(decode(&body).unwrap(), r#"{"bin":"text","7":0.5}"#);
    }

    #[test]
    fn what_json_cannot_express_is_refused() {
        for value in [
            Value::Ext(1, vec![0]),
            Value::F64(f64::NAN),
            Value::Binary(vec![0xff]),
            Value::Map(vec![(Value::Nil, Value::Nil)]),
        ] {
            let mut body = Vec::new();
            rmpv::encode::write_value(&mut body, &value).unwrap();
            assert!(decode(&body).is_err(), "{value}");
        }
        // A length that lies: 4 GiB of text in five bytes.
        assert!(decode(b"\xdb\xff\xff\xff\xff").is_err());
    }
}
