//! Discord's REST API, and the channels that are told there what happens.

use std::sync::Arc;

use tokio::sync::mpsc;
use twilight_http::Client;
use twilight_model::{
    channel::message::Embed,
    id::{Id, marker::ChannelMarker},
    util::Timestamp,
};

use crate::settings::{Reader, catalogue::DISCORD_API_URL};

/// Host that the client uses by itself.
const DISCORD: &str = "discord.com";
/// Entries that may wait for Discord; more than a start of many shards brings at once is not worth reading.
const WAITING: usize = 256;

/// Host of the REST API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUrl {
    /// Host with port and path, without a scheme.
    host: String,
    /// `http` rather than `https`.
    plain: bool,
}

impl ApiUrl {
    /// Reads `DISCORD_API_URL`; `None` if it is wrong (then it is reported).
    pub fn read(reader: &mut Reader) -> Option<Self> {
        reader.checked(&DISCORD_API_URL, Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        let (host, plain) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(host), _) => (host, true),
            (_, Some(host)) => (host, false),
            _ => return None,
        };
        let host = host.trim_end_matches('/');
        (!host.is_empty()).then(|| Self {
            host: host.to_owned(),
            plain,
        })
    }

    /// A client for the bot with this token.
    #[must_use]
    pub fn client(&self, token: String) -> Client {
        let builder = Client::builder().token(token);
        if self.host == DISCORD && !self.plain {
            builder.build()
        } else {
            builder.proxy(self.host.clone(), self.plain).build()
        }
    }
}

/// A channel on Discord that is told what happens. Never in the way: posting is a task of its own, and what doesn't fit its queue
/// is dropped.
#[derive(Clone, Debug)]
pub struct ChannelLog {
    entries: mpsc::Sender<Entry>,
}

/// What is told, as one embed.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Title.
    pub title: String,
    /// Text below it.
    pub description: Option<String>,
    /// Colour of its edge, as 0xRRGGBB.
    pub colour: u32,
    /// When it happened.
    pub at: Option<Timestamp>,
}

impl ChannelLog {
    /// Begins to post to `channel`, on the current runtime.
    #[must_use]
    pub fn start(client: Arc<Client>, channel: Id<ChannelMarker>) -> Self {
        let (entries, waiting) = mpsc::channel(WAITING);
        tokio::spawn(post(client, channel, waiting));
        Self { entries }
    }

    /// Has an entry posted; `false` if too many are waiting.
    #[must_use]
    pub fn tell(&self, entry: Entry) -> bool {
        self.entries.try_send(entry).is_ok()
    }
}

async fn post(client: Arc<Client>, channel: Id<ChannelMarker>, mut waiting: mpsc::Receiver<Entry>) {
    while let Some(entry) = waiting.recv().await {
        let embed = entry.embed();
        if let Err(error) = client.create_message(channel).embeds(&[embed]).await {
            tracing::warn!(%error, %channel, "cannot post to the log channel");
        }
    }
}

impl Entry {
    fn embed(self) -> Embed {
        Embed {
            author: None,
            color: Some(self.colour),
            description: self.description,
            fields: Vec::new(),
            flags: None,
            footer: None,
            image: None,
            kind: "rich".to_owned(),
            provider: None,
            thumbnail: None,
            timestamp: self.at,
            title: Some(self.title),
            url: None,
            video: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_is_a_host_with_a_scheme() {
        let api = ApiUrl::parse("http://127.0.0.1:8/").unwrap();
        assert_eq!((api.host.as_str(), api.plain), ("127.0.0.1:8", true));
        let api = ApiUrl::parse(DISCORD_API_URL.default).unwrap();
        assert_eq!((api.host.as_str(), api.plain), (DISCORD, false));
        assert_eq!(ApiUrl::parse("discord.com"), None);
        assert_eq!(ApiUrl::parse("https://"), None);
    }
}
