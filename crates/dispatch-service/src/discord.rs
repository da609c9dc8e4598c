//! Discord's REST API: one client for all that asks there, when to ask again, and the channels that are told what happens.

pub mod answer;
mod channel;
mod client;
mod gateway_bot;
mod retry;

use std::fmt;

use crate::settings::{
    Reader, address,
    catalogue::{BOT_TOKEN, DISCORD_API_URL},
};

pub use answer::Failure;
pub use channel::{ChannelLog, Entry};
pub use client::Client;
pub use gateway_bot::{GatewayBot, StartLimit};
pub use retry::Retry;

/// Where the REST API is: a URL without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUrl(String);

impl ApiUrl {
    /// Reads `DISCORD_API_URL`; `None` if it is wrong (then it is reported).
    pub fn read(reader: &mut Reader) -> Option<Self> {
        reader.checked(&DISCORD_API_URL, Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        address::url(text, &["http", "https"])?;
        Some(Self(text.trim_end_matches('/').to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The bot's token, which no log shows.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Reads `BOT_TOKEN`; `None` if it is missing or wrong (then it is reported, masked).
    pub fn read(reader: &mut Reader) -> Option<Self> {
        match reader.required(&BOT_TOKEN).as_str() {
            "" => None,
            _ => reader.checked(&BOT_TOKEN, Self::parse),
        }
    }

    /// White space around it and a leading `Bot `, as it stands in an `Authorization` header, come along when a token is copied.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bare = match text.split_once(char::is_whitespace) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bot") => rest.trim_start(),
            _ => text,
        };
        let fits = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(bare.to_owned()))
    }

    /// The token, without a scheme.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_is_a_host_with_a_scheme() {
        let parse = |text| ApiUrl::parse(text).map(|api| api.0);
        assert_eq!(
            parse("http://127.0.0.1:8/").as_deref(),
            Some("http://127.0.0.1:8")
        );
        assert_eq!(
            parse(DISCORD_API_URL.default).as_deref(),
            Some("https://discord.com")
        );
        assert_eq!(parse("discord.com"), None);
        assert_eq!(parse("https://"), None);
    }

    #[test]
    fn a_token_is_trimmed_and_holds_no_spaces() {
        let parse = |text| Token::parse(text).map(|token| token.0);
        for text in [
            "MT.a_b-c",
            " MT.a_b-c\r\n",
            "Bot MT.a_b-c",
            "bot\tMT.a_b-c ",
            "\u{a0}Bot  MT.a_b-c",
        ] {
            assert_eq!(parse(text).as_deref(), Some("MT.a_b-c"), "{text:?}");
        }
        for text in [
            "",
            "  ",
            "MT.a b",
            "MT.a\nb",
            "MT.a\0b",
            "Bearer MT.a",
            "MT.a\u{200b}",
            "MT.\u{7f}a",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        let mut reader = Reader::of([("BOT_TOKEN", "hun ter2")]);
        assert!(Token::read(&mut reader).is_none());
        let message = reader.finish().unwrap_err().to_string();
        assert!(message.contains("BOT_TOKEN=\"***\""), "{message}");
        let token = Token::parse("hunter2").unwrap();
        assert!(!format!("{token:?}").contains("hunter2"));
    }
}
