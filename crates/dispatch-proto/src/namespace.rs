//! The prefix of every name on both servers, so that several bots can share them.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use thiserror::Error;

/// Stands between the namespace and a name. No namespace holds it, so names of two of them never meet.
const SEPARATOR: char = ':';

/// Longest namespace, in bytes: what follows it in a queue's name must fit into AMQP's 255.
const LONGEST: usize = 40;

/// `NAMESPACE`: empty, or `<NAMESPACE>:` in front of each exchange, queue and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace(Arc<str>);

/// A text that can't be a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a namespace has at most {LONGEST} characters, each an ASCII letter, a digit, - or _")]
pub struct NotANamespace;

impl Namespace {
    /// The name of an exchange or queue, or a key, in this namespace.
    #[must_use]
    pub fn name<'a>(&self, name: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let name = name.into();
        match &*self.0 {
            "" => name,
            prefix => format!("{prefix}{name}").into(),
        }
    }

    /// What [`Self::name`] was given, if the name is of this namespace.
    #[must_use]
    pub fn local<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&*self.0)
    }
}

impl FromStr for Namespace {
    type Err = NotANamespace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.len() > LONGEST || !text.bytes().all(fits) {
            return Err(NotANamespace);
        }
        Ok(match text {
            "" => Self::default(),
            text => Self(format!("{text}{SEPARATOR}").into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_in_front_of_each_name() {
        let none: Namespace = "".parse().unwrap();
        assert_eq!(none, Namespace::default());
        assert_eq!(none.name("gateway.recv"), "gateway.recv");
        assert_eq!(none.local("gateway.recv"), Some("gateway.recv"));
        let bot: Namespace = "my-bot_2".parse().unwrap();
        assert_eq!(bot.name("gateway"), "my-bot_2:gateway");
        assert_eq!(bot.name(String::from("guild:1")), "my-bot_2:guild:1");
        assert_eq!(bot.local("my-bot_2:guild:1"), Some("guild:1"));
        assert_eq!(bot.local("guild:1"), None);
        assert_eq!(bot.local("my-bot:guild:1"), None);
    }

    #[test]
    fn what_could_be_misread_is_refused() {
        let long = "x".repeat(LONGEST + 1);
        for text in ["a:b", "a b", "a*", "amq.x", "é", "{a}", "a/b", "a#", &long] {
            assert_eq!(text.parse::<Namespace>(), Err(NotANamespace), "{text}");
        }
        assert!(long[1..].parse::<Namespace>().is_ok());
    }
}
