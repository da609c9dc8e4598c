//! Channels on Discord that are told what happens.

use std::sync::Arc;

use tokio::{sync::mpsc, time::sleep};
use twilight_model::{
    channel::message::Embed,
    id::{Id, marker::ChannelMarker},
    util::Timestamp,
};

use super::{Client, Failure, Retry};

/// Entries that may wait for Discord; more than a start of many shards brings at once is not worth reading.
const WAITING: usize = 256;

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

    /// Has an entry posted; `false` if too many are waiting, or Discord refuses the token.
    #[must_use]
    pub fn tell(&self, entry: Entry) -> bool {
        self.entries.try_send(entry).is_ok()
    }
}

/// Posts one after another, each until Discord has it or refuses it.
async fn post(client: Arc<Client>, channel: Id<ChannelMarker>, mut waiting: mpsc::Receiver<Entry>) {
    let mut retry = Retry::default();
    while let Some(entry) = waiting.recv().await {
        let embed = entry.embed();
        loop {
            let failure = match client.create_message(channel, embed.clone()).await {
                Ok(pause) => {
                    retry.succeeded();
                    sleep(pause.unwrap_or_default()).await;
                    break;
                }
                Err(failure) => failure,
            };
            let pause = retry.pause(&failure, fastrand::f64());
            tracing::warn!(
                %failure,
                %channel,
                retry_in_s = pause.as_secs_f64(),
                "cannot post to the log channel"
            );
            if matches!(failure, Failure::Token(_)) {
                return;
            }
            sleep(pause).await;
            if failure.is_final() {
                break;
            }
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
