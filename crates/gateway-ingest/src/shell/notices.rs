//! Notices about shards in `LOG_CHANNEL`. Never in the way: what does not fit the queue is dropped and counted.

use std::sync::Arc;

use tokio::sync::mpsc;
use twilight_http::Client;
use twilight_model::{
    channel::message::Embed,
    id::{Id, marker::ChannelMarker},
    util::Timestamp,
};

use super::context::unix_time;
use crate::{core::status::ShardEvent, metrics};

/// Notices that may wait; more than a start of many shards brings at once is not worth reading.
const WAITING: usize = 256;

/// Where notices are handed in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices(Option<mpsc::Sender<Notice>>);

#[derive(Debug)]
struct Notice {
    title: String,
    colour: u32,
    at: Option<Timestamp>,
}

impl Notices {
    /// Starts posting to `channel`, if there is one.
    pub(crate) fn start(client: Arc<Client>, channel: Option<Id<ChannelMarker>>) -> Self {
        Self(channel.map(|channel| {
            let (sender, receiver) = mpsc::channel(WAITING);
            tokio::spawn(post(client, channel, receiver));
            sender
        }))
    }

    pub(crate) fn shard(&self, shard: u32, event: ShardEvent) {
        let (Some(sender), Some(colour)) = (&self.0, event.colour()) else {
            return;
        };
        let notice = Notice {
            title: format!("[Shard {shard}] {}", event.name()),
            colour,
            at: Timestamp::from_micros(unix_time().as_micros() as i64).ok(),
        };
        if sender.try_send(notice).is_err() {
            metrics::notice_dropped();
        }
    }
}

async fn post(
    client: Arc<Client>,
    channel: Id<ChannelMarker>,
    mut notices: mpsc::Receiver<Notice>,
) {
    while let Some(notice) = notices.recv().await {
        let embed = Embed {
            author: None,
            color: Some(notice.colour),
            description: None,
            fields: Vec::new(),
            flags: None,
            footer: None,
            image: None,
            kind: "rich".to_owned(),
            provider: None,
            thumbnail: None,
            timestamp: notice.at,
            title: Some(notice.title),
            url: None,
            video: None,
        };
        if let Err(error) = client.create_message(channel).embeds(&[embed]).await {
            tracing::warn!(%error, "cannot post to LOG_CHANNEL");
        }
    }
}
