//! The end of a shard in this process: in order, or because another process has it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Task, client::Received, next, reached};
use crate::{core::connection::Input, error::IngestError};

/// Longest time to publish what is in hand at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

impl Task {
    /// Closes the connection resumably, and publishes what is in hand.
    pub(super) async fn finish(&mut self) -> Result<(), IngestError> {
        self.leave = None;
        let context = self.context.clone();
        let drained_by = Instant::now() + DRAIN_LIMIT;
        self.happened(Input::Stop)?;
        while !self.policy.is_over() || !context.publishers.is_drained(self.number) {
            self.drop_what_has_no_room();
            let deadline = self.policy.deadline().map(Instant::from_std);
            tokio::select! {
                biased;
                () = sleep_until(drained_by) => {
                    tracing::warn!(shard = self.number, "not all events could be published in time; discord will send them again");
                    break;
                }
                () = context.publishers.drained(self.number), if self.policy.is_over() => {}
                () = reached(deadline) => self.happened(Input::Time)?,
                received = next(&mut self.client) => self.received(received)?,
            }
        }
        self.client = None;
        context.publishers.clear(self.number);
        self.give_commands_back().await;
        Ok(())
    }

    /// Ends the consumer, and with it its channel: RabbitMQ has all commands again that are not acknowledged.
    async fn give_commands_back(&mut self) {
        self.context.replies.acknowledged().await;
        if let Some(commands) = self.queue.consumer.take() {
            commands.close().await;
        }
        self.forget_commands();
    }

    /// Closes the connection and drops everything of the shard: another process owns it now.
    pub(super) async fn let_go(&mut self) -> Result<(), IngestError> {
        tracing::warn!(
            shard = self.number,
            "another process has taken the shard over"
        );
        self.context.publishers.clear(self.number);
        self.leave = None;
        self.happened(Input::Stop)?;
        while !self.policy.is_over() {
            let deadline = self.policy.deadline().map(Instant::from_std);
            tokio::select! {
                () = reached(deadline) => self.happened(Input::Time)?,
                received = next(&mut self.client) => {
                    // The events are the other process's.
                    if let Received::Ended(_) = received {
                        self.received(received)?;
                    }
                }
            }
        }
        self.give_commands_back().await;
        Ok(())
    }

    fn no_admission(&mut self) {
        self.reading.admission = None;
        self.reading.holds_one = false;
    }

    /// There is no waiting for room at the end. An event without room is dropped, and with it all that follow: none of them
    /// is confirmed, so Discord will send them again.
    fn drop_what_has_no_room(&mut self) {
        self.reading.discarding |= self.reading.holds_one;
        self.no_admission();
    }
}
