//! JSON text that other encodings have no form for, replaced by what they have.
//!
//! Discord's text may hold what JSON's grammar allows and strict readers refuse: a surrogate escape
//! without its other half, a number beyond the range of a double, nesting without end. No event may
//! be lost for it.

use super::MAX_DEPTH;

/// What stands in the place of what can't be told: U+FFFD, as a JSON escape.
const REPLACEMENT: &str = r"\ufffd";

/// The text with half surrogates and what is nested more than [`MAX_DEPTH`] deep replaced by U+FFFD,
/// and numbers beyond a double by the greatest one. Anything else, mistakes too, stays as it is.
pub(super) fn mend(json: &str) -> String {
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    let mut depth = 0;
    while let Some(first) = rest.bytes().next() {
        let taken = match first {
            b'"' => {
                let (text, taken) = string(rest);
                mended.push_str(&text);
                taken
            }
            b'[' | b'{' if depth == MAX_DEPTH => {
                mended.push('"');
                mended.push_str(REPLACEMENT);
                mended.push('"');
                nested(rest)
            }
            b'-' | b'0'..=b'9' => {
                let taken = number_length(rest);
                mended.push_str(number(&rest[..taken]));
                taken
            }
            other => {
                match other {
                    b'[' | b'{' => depth += 1,
                    b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                let taken = rest.chars().next().map_or(1, char::len_utf8);
                mended.push_str(&rest[..taken]);
                taken
            }
        };
        rest = &rest[taken..];
    }
    mended
}

/// A string with its quotes, mended, and the length that it had.
fn string(text: &str) -> (String, usize) {
    let length = string_length(text);
    let mut mended = String::with_capacity(length);
    let mut rest = &text[..length];
    while let Some(escape) = rest.find('\\') {
        mended.push_str(&rest[..escape]);
        rest = &rest[escape..];
        let taken = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => {
                mended.push_str(&rest[..12]);
                12
            }
            (Some(0xD800..=0xDFFF), _) => {
                mended.push_str(REPLACEMENT);
                6
            }
            _ => {
                let taken = rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at);
                mended.push_str(&rest[..taken]);
                taken
            }
        };
        rest = &rest[taken..];
    }
    mended.push_str(rest);
    (mended, length)
}

/// The UTF-16 unit of an escape that the text begins with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

/// How long the string is that the text begins with, its quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    text.len()
}

/// How long the list or object is that the text begins with.
fn nested(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => at += string_length(&text[at..]) - 1,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

fn number_length(text: &str) -> usize {
    let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    text.bytes()
        .position(|byte| !is_part(byte))
        .unwrap_or(text.len())
}

fn number(text: &str) -> &str {
    match text.parse::<f64>() {
        Ok(number) if number == f64::INFINITY => "1.7976931348623157e308",
        Ok(number) if number == f64::NEG_INFINITY => "-1.7976931348623157e308",
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_form_is_replaced() {
        for (text, expected) in [
            (r#"{"a":"\ud800"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"\udc00b":1}"#, r#"{"\ufffdb":1}"#),
            (
                r#"["\ud83d\ude00","\ud83d\ud83d\ude00"]"#,
                r#"["\ud83d\ude00","\ufffd\ud83d\ude00"]"#,
            ),
            (
                r#"["\uD800x\n\\ud800","\"\udfff"]"#,
                r#"["\ufffdx\n\\ud800","\"\ufffd"]"#,
            ),
            (
                r#"[1e999,-1e999,1.50,-0,18446744073709551616]"#,
                r#"[1.7976931348623157e308,-1.7976931348623157e308,1.50,-0,18446744073709551616]"#,
            ),
            (r#"{"é": [ "ü", true ]}"#, r#"{"é": [ "ü", true ]}"#),
            // Mistakes are not this module's business.
            (r#"{"a":"\ud8"#, r#"{"a":"\ud8"#),
            ("\"\\", "\"\\"),
            ("]]", "]]"),
        ] {
            assert_eq!(mend(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_replaced_and_what_follows_is_not() {
        let (open, close) = ("[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        let deep = format!(r#"{open}[["]",{{"[":1}}]],2{close}"#);
        assert_eq!(mend(&deep), format!(r#"{open}"\ufffd",2{close}"#));
        let endless = "[".repeat(200_000);
        assert!(mend(&endless).len() < 200);
    }
}
