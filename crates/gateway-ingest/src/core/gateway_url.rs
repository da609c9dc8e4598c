//! URLs of the gateway, as the client can use them.

use std::net::Ipv4Addr;

/// The URL without a trailing slash or query, if it is one of a websocket. The client ends the process on one that it can't read.
#[must_use]
pub fn usable(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = ["ws", "wss"]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known))?;
    let rest = rest.split('?').next()?.trim_end_matches('/');
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let after_host = match authority.strip_prefix('[') {
        Some(literal) => {
            let (literal, after) = literal.split_once(']')?;
            literal.parse::<std::net::Ipv6Addr>().ok()?;
            after
        }
        None => {
            let (host, after) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(fits) {
                return None;
            }
            after
        }
    };
    if !after_host.is_empty() {
        after_host.strip_prefix(':')?.parse::<u16>().ok()?;
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '~');
    path.chars()
        .all(fits)
        .then(|| format!("{scheme}://{authority}{path}"))
}

/// The URL with an IPv4 literal written so that only the system's resolver reads it.
///
/// A client that connects by itself, where it should not, first looks up the host's name, which takes a moment, in which it can be
/// dropped. A literal would be connected to at once. With TLS it stays as it is, since the certificate is for it.
#[must_use]
pub fn looked_up(url: &str) -> String {
    let written = || {
        let rest = url.strip_prefix("ws://")?;
        let (host, after) = rest.split_at(rest.find([':', '/']).unwrap_or(rest.len()));
        let [a, b, c, d] = host.parse::<Ipv4Addr>().ok()?.octets();
        Some(format!("ws://{a:#x}.{b:#x}.{c:#x}.{d:#x}{after}"))
    };
    written().unwrap_or_else(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_websockets_are_usable() {
        for (url, expected) in [
            (
                "wss://gateway-us-east1-b.discord.gg",
                "wss://gateway-us-east1-b.discord.gg",
            ),
            ("wss://gateway.discord.gg/", "wss://gateway.discord.gg"),
            ("WSS://gateway.discord.gg/?v=10", "wss://gateway.discord.gg"),
            ("ws://127.0.0.1:4000", "ws://127.0.0.1:4000"),
            ("ws://[::1]:4000/proxy/a", "ws://[::1]:4000/proxy/a"),
        ] {
            assert_eq!(usable(url).as_deref(), Some(expected));
        }
        for url in [
            "",
            "gateway.discord.gg",
            "https://gateway.discord.gg",
            "wss://",
            "wss://:443",
            "wss://a b",
            "wss://a:port",
            "wss://a:99999",
            "wss://a\u{e4}.gg",
            "wss://a/\"",
            "wss://[::1",
            "wss://[x]",
            "wss://user@host",
        ] {
            assert_eq!(usable(url), None, "{url}");
        }
    }

    #[test]
    fn literals_are_left_to_the_resolver() {
        assert_eq!(
            looked_up("ws://127.0.0.1:4000/a"),
            "ws://0x7f.0x0.0x0.0x1:4000/a"
        );
        for url in ["ws://localhost:1", "wss://127.0.0.1", "ws://[::1]:2"] {
            assert_eq!(looked_up(url), url);
        }
    }
}
