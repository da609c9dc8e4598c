//! Dead letters: best effort after some tries.

use std::{sync::Arc, time::Duration};

use dispatch_proto::{command::Reply, rabbit::MAX_BODY};
use dispatch_service::amqp::{DeadLetter, PublishError, told_if_slow};
use lapin::Connection;
use tokio::time::sleep;

use super::{envelope::Envelope, queues::Queues, replies::Replies, side_channel::SideChannel};
use crate::{error::RouterError, metrics};

/// Times before the second try and those after it. A queue that is full stays so: whoever reads it decides.
const PAUSES_MS: [u64; 4] = [50, 200, 500, 1_000];

#[derive(Debug)]
pub(crate) struct DeadLetters {
    channel: SideChannel,
    queues: Queues,
}

impl DeadLetters {
    pub(crate) fn new(connection: Arc<Connection>, queues: Queues) -> Self {
        Self {
            channel: SideChannel::new(connection),
            queues,
        }
    }

    /// Dead-letters a message, acknowledges it, and tells its sender. A dead letter that RabbitMQ doesn't take is logged and
    /// counted instead: it holds up nothing.
    pub(crate) async fn reject(
        &self,
        envelope: &Envelope,
        reason: &str,
        replies: &Replies,
    ) -> Result<(), RouterError> {
        let (queue, properties) = (&envelope.queue, &envelope.delivery.properties);
        tracing::warn!(%queue, reason, "command rejected");
        if let Some(error) = self.publish(envelope, reason).await? {
            let message_id = properties.message_id().as_ref().map(|id| id.as_str());
            let bytes = envelope.delivery.data.len();
            tracing::error!(%queue, reason, message_id, bytes, %error, "rejected command lost: rabbitmq takes no dead letter");
            metrics::dead_letter_lost();
        }
        envelope.acknowledge().await;
        replies.send(envelope, &Reply::error(reason)).await;
        Ok(())
    }

    /// Tries until the tries are used up; then what was in the way.
    async fn publish(
        &self,
        envelope: &Envelope,
        reason: &str,
    ) -> Result<Option<PublishError>, RouterError> {
        let mut pauses = PAUSES_MS.iter();
        loop {
            let error = match self.try_once(envelope, reason).await {
                Ok(()) => return Ok(None),
                Err(error) if !self.channel.is_connected() => return Err(error.into()),
                Err(error) => error,
            };
            if matches!(error, PublishError::Unroutable) {
                // It was deleted.
                self.queues.declare_dead().await.ok();
            }
            let Some(pause) = pauses.next() else {
                return Ok(Some(error));
            };
            sleep(Duration::from_millis(*pause)).await;
        }
    }

    async fn try_once(&self, envelope: &Envelope, reason: &str) -> Result<(), PublishError> {
        let letter = DeadLetter {
            namespace: self.queues.namespace(),
            source: &envelope.queue,
            reason,
            limit: MAX_BODY,
        };
        let delivery = &envelope.delivery;
        let publisher = self.channel.publisher().await?;
        let publication =
            publisher.dead_letter(letter, delivery.properties.clone(), &delivery.data);
        told_if_slow("a dead letter", publication).await
    }
}
