//! Notices about shards in `LOG_CHANNEL`.

use std::sync::Arc;

use dispatch_service::{
    clock::unix_micros,
    discord::{ChannelLog, Client, Entry},
};
use twilight_model::{
    id::{Id, marker::ChannelMarker},
    util::Timestamp,
};

use crate::{core::status::ShardEvent, metrics};

/// Where notices are handed in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices(Option<ChannelLog>);

impl Notices {
    /// Starts posting to `channel`, if there is one.
    pub(crate) fn start(client: Arc<Client>, channel: Option<Id<ChannelMarker>>) -> Self {
        Self(channel.map(|channel| ChannelLog::start(client, channel)))
    }

    pub(crate) fn shard(&self, shard: u32, event: ShardEvent) {
        let (Some(log), Some(colour)) = (&self.0, event.colour()) else {
            return;
        };
        let notice = Entry {
            title: format!("[Shard {shard}] {}", event.name()),
            description: None,
            colour,
            at: Timestamp::from_micros(unix_micros() as i64).ok(),
        };
        if !log.tell(notice) {
            metrics::notice_dropped();
        }
    }
}
