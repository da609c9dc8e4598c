//! Names, addresses and URLs of servers.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

/// A host name or an address, an IPv6 one with or without brackets, as a client takes it: without. `None` if it can't be a host.
#[must_use]
pub fn host(text: &str) -> Option<String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bare {
        return Some(address.parse::<Ipv6Addr>().ok()?.to_string());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let Ok(Host::Domain(name)) = Host::parse(text) else {
        return None;
    };
    let labels = name.strip_suffix('.').unwrap_or(&name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    (labels.len() <= 253 && labels.split('.').all(is_label)).then_some(name)
}

/// A URL with one of these schemes and a host that can be one. `None` also for one that holds a character which ought to be
/// percent-encoded: it would lead somewhere else than it says.
#[must_use]
pub fn url(text: &str, schemes: &[&str]) -> Option<(Url, String)> {
    let url = Url::parse(text).ok()?;
    if !schemes.contains(&url.scheme()) || url.port() == Some(0) {
        return None;
    }
    // A password with an unescaped `/`, `?` or `#` ends the host before its time, and the rest of it stands here.
    let behind = [Some(url.path()), url.query(), url.fragment()];
    if behind.into_iter().flatten().any(|part| part.contains('@')) {
        return None;
    }
    let host = match url.host()? {
        Host::Domain(name) => host(&decoded(name)?)?,
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Some((url, host))
}

/// Percent-encoded text, decoded. `None` if it is not UTF-8 then.
#[must_use]
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, encoded(rest)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &rest[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether the text has a part that could be a percent-encoded character.
#[must_use]
pub fn looks_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|at| bytes[at] == b'%' && encoded(&bytes[at + 1..]).is_some())
}

/// The byte that the two hexadecimal digits at the beginning stand for.
fn encoded(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
    let all_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    all_hex.then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_of_both_kinds() {
        for (text, expected) in [
            ("localhost", "localhost"),
            ("rabbit-1.example.com", "rabbit-1.example.com"),
            ("my_stack_redis", "my_stack_redis"),
            ("example.com.", "example.com."),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[2001:DB8::5]", "2001:db8::5"),
            ("bücher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(host(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_can_be_no_host_is_none() {
        for text in [
            "",
            "my host",
            "host:5672",
            "user@host",
            "redis://host",
            "a..b",
            ".a",
            "[::1",
            "::1]",
            "[127.0.0.1]",
            "256.1.1.1",
            "1.2.3",
            "a/b",
            "host\n",
            "ho*st",
            "::g",
            "[::1]:5",
        ] {
            assert_eq!(host(text), None, "{text:?}");
        }
        assert_eq!(host(&"a".repeat(64)), None);
    }

    #[test]
    fn urls_lead_where_they_say_or_nowhere() {
        let at = |text| url(text, &["amqp", "amqps"]).map(|(_, host)| host);
        for (text, expected) in [
            ("amqp://h", "h"),
            ("amqp://u:p@[2001:db8::5]:5672/", "2001:db8::5"),
            ("amqps://u:p%40%2f@10.0.0.1/v", "10.0.0.1"),
            ("amqp://ho%61st/", "hoast"),
        ] {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "h",
            "amqp:h",
            "amqp://",
            "amqp:///v",
            "http://h",
            "amqp://my host/",
            "amqp://h:0/",
            "amqp://h:99999/",
            "amqp://[::g]/",
            "amqp://u:1/x@h/",
            "amqp://u:1?x@h/",
            "amqp://u:1#x@h/",
            "amqp://a..b/",
            "amqp://ho%20st/",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn percent_encoding_is_seen_and_undone() {
        assert_eq!(decoded("a%40b%").as_deref(), Some("a@b%"));
        assert_eq!(decoded("%ff"), None);
        assert!(looks_encoded("p%40ss"));
        assert!(!looks_encoded("100%"));
        assert!(!looks_encoded("5%+1"));
    }
}
