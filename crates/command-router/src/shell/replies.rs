//! Replies to the senders of commands: best effort.
//!
//! An answer is worth less than the commands behind it. One that RabbitMQ refuses, can't route or doesn't confirm is counted and
//! forgotten, and a channel that fails over one is opened again.

use std::{sync::Arc, time::Duration};

use dispatch_proto::command::Reply;
use dispatch_service::amqp::{Answer, PublishError};
use lapin::Connection;
use tokio::{sync::Semaphore, time::timeout};

use super::{envelope::Envelope, side_channel::SideChannel};
use crate::metrics::{self, LostReply};

/// Replies that may wait for their confirms.
const UNCONFIRMED: usize = 1_024;
/// How long a reply is waited for.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Replies {
    channel: SideChannel,
    room: Semaphore,
}

impl Replies {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self {
            channel: SideChannel::new(connection),
            room: Semaphore::new(UNCONFIRMED),
        }
    }

    /// Replies to a message, if its sender wants it.
    pub(crate) async fn send(&self, envelope: &Envelope, reply: &Reply<'_>) {
        let properties = &envelope.delivery.properties;
        let Some(answer) = Answer::to(properties, reply, envelope.encoding) else {
            return;
        };
        let Ok(_room) = self.room.try_acquire() else {
            metrics::reply_lost(LostReply::Unconfirmed);
            return;
        };
        let publish = async { answer.publish(&self.channel.publisher().await?).await };
        let lost = match timeout(LIMIT, publish).await {
            Ok(Ok(())) => return,
            Ok(Err(PublishError::Nacked)) => LostReply::Refused,
            // The sender is gone: its address leads nowhere.
            Ok(Err(PublishError::Unroutable)) => LostReply::Unroutable,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a reply failed");
                LostReply::Failed
            }
            Err(_) => LostReply::Unconfirmed,
        };
        metrics::reply_lost(lost);
    }
}
