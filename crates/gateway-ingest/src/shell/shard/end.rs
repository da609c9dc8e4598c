//! The end of a shard in this process: in order, or because another process has it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use twilight_gateway::{CloseFrame, Message, ShardState};

use super::{Socket, Task, finished, next};
use crate::core::status::Status;

/// Longest wait for Discord's answer to our close frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Longest time to publish what is in hand at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

impl Task {
    /// Closes the socket resumably, and publishes what is in hand.
    pub(super) async fn finish(&mut self) {
        let drained_by = Instant::now() + DRAIN_LIMIT;
        let closed_by = Instant::now() + CLOSE_LIMIT;
        let mut closing = self.begin_close();
        while closing || !self.outbox.is_empty() {
            self.strive();
            self.drop_what_has_no_room();
            tokio::select! {
                biased;
                () = sleep_until(drained_by) => {
                    tracing::warn!(shard = self.number, "not all events could be published in time; discord will send them again");
                    break;
                }
                result = finished(&mut self.in_flight) => self.published(result),
                claiming = finished(&mut self.attempt) => self.claimed(claiming).await,
                () = sleep_until(closed_by), if closing => closing = false,
                item = next(&mut self.socket), if closing => closing = self.read_while_closing(item),
            }
        }
        self.socket = None;
        self.give_commands_back().await;
        self.set_status(Status::Disconnected);
    }

    /// Ends the consumer, and with it its channel: RabbitMQ has all commands again that are not acknowledged.
    async fn give_commands_back(&mut self) {
        self.context.replies.acknowledged().await;
        self.commands = None;
        self.forget_commands();
    }

    /// Asks Discord to close; `false` if there is nothing to close.
    fn begin_close(&mut self) -> bool {
        let open = |socket: &&mut Socket| {
            !matches!(
                socket.state(),
                ShardState::Disconnected { .. } | ShardState::FatallyClosed
            )
        };
        let Some(socket) = self.socket.as_mut().filter(open) else {
            return false;
        };
        // Not 1000: that ends the session.
        socket.close(CloseFrame::RESUME);
        self.closing = true;
        true
    }

    /// Closes the socket and forgets everything of the shard: another process owns it now.
    pub(super) async fn let_go(&mut self) {
        tracing::warn!(
            shard = self.number,
            "another process has taken the shard over"
        );
        self.context.book.forget(self.number);
        self.outbox.clear();
        self.in_flight = None;
        self.no_admission();
        self.asking_owner = None;
        self.publications = 0;
        if self.begin_close() {
            let closed_by = Instant::now() + CLOSE_LIMIT;
            while let Ok(Some(item)) = timeout_at(closed_by, next(&mut self.socket)).await {
                if let Ok(Message::Close(frame)) = item {
                    self.connection_ended(frame.map(|frame| frame.code));
                    break;
                }
                if self.is_disconnected() {
                    break;
                }
            }
        }
        self.give_commands_back().await;
        self.socket = None;
        self.session = None;
        self.set_status(Status::Disconnected);
    }

    fn is_disconnected(&self) -> bool {
        self.socket
            .as_ref()
            .is_none_or(|socket| matches!(socket.state(), ShardState::Disconnected { .. }))
    }

    fn no_admission(&mut self) {
        self.admission = None;
        self.holds_one = false;
    }

    /// There is no waiting for room at the end. An event without room is dropped, and with it all that follow: none of them
    /// is confirmed, so Discord will send them again.
    fn drop_what_has_no_room(&mut self) {
        self.discarding |= self.holds_one;
        self.no_admission();
    }
}
