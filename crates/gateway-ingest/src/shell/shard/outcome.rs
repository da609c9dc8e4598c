//! What has become of the commands that left: Discord has read them, wants them later, or may never have had them.

use dispatch_service::clock::unix_millis;
use lapin::message::Delivery;

use super::Task;
use crate::{
    core::{
        command::{Action, RateLimited},
        departures::Departures,
        unacknowledged::{self, Dead, Ended},
    },
    metrics,
};

/// A command's message, which RabbitMQ keeps until it is acknowledged.
pub(super) type CommandMessage = unacknowledged::CommandMessage<Box<Delivery>>;

impl Task {
    /// Discord acknowledged a heartbeat.
    pub(super) fn heartbeat_acknowledged(&mut self) {
        self.note_heartbeat();
        let read = self.queue.unacknowledged.heartbeat_acknowledged();
        self.acknowledge(read);
    }

    /// Notes when the client wrote its newest heartbeat. To be called after each poll that may have written one.
    pub(super) fn note_heartbeat(&mut self) {
        let Some(client) = &self.client else { return };
        // In other states it may be one of the connection before.
        if client.sends_heartbeats()
            && let Some(at) = client.latency().sent()
        {
            self.queue.unacknowledged.heartbeat_sent(at);
        }
    }

    /// The connection has ended with `code`; `None` if there was no close frame either way. Whether we `asked` for that.
    pub(super) fn connection_ended(&mut self, code: Option<u16>, asked: bool) {
        self.queue.departures = Departures::default();
        let Ended { read, again, dead } = self.queue.unacknowledged.connection_ended(code, asked);
        self.acknowledge(read);
        for (message, why) in dead {
            self.bury(message, why);
        }
        let mut again: Vec<_> = again
            .into_iter()
            .map(|(packet, message)| (Action::Send(packet), message))
            .collect();
        if !again.is_empty() {
            let shard = self.number;
            let commands = again.len();
            tracing::info!(
                shard,
                code,
                commands,
                "discord may not have read the last commands, sending them again"
            );
        }
        if let Some(leaving) = self.queue.leaving.take() {
            again.push((Action::Send(leaving.packet), leaving.message));
        }
        self.queue.schedule.give_back(again);
        self.look_now();
    }

    /// Discord refused a request, which waits as long as Discord says and goes again.
    pub(super) fn refused(&mut self, limited: &RateLimited) {
        let until = unix_millis().saturating_add(limited.retry_after_ms);
        self.queue
            .schedule
            .limit(limited.opcode, limited.guild, until);
        let refused = self.queue.unacknowledged.take_refused(limited);
        tracing::info!(
            shard = self.number,
            opcode = limited.opcode,
            wait_ms = limited.retry_after_ms,
            again = refused.is_some(),
            "discord asks to wait with requests for a guild"
        );
        let again = refused.map(|(packet, message)| (Action::Send(packet), message));
        self.queue.schedule.give_back(again.into_iter().collect());
        self.look_now();
    }

    /// RabbitMQ has, or will have, all commands again that are in hand.
    pub(super) fn forget_commands(&mut self) {
        self.queue.schedule.clear();
        self.queue.unacknowledged.clear();
        self.queue.leaving = None;
    }

    pub(super) fn acknowledge(&self, read: impl IntoIterator<Item = CommandMessage>) {
        for message in read {
            let replies = &self.context.replies;
            replies.acknowledge(self.number, &message.delivery);
        }
    }

    fn bury(&self, message: CommandMessage, why: Dead) {
        let reason = match why {
            Dead::Refused(code) => {
                format!("discord closed the connection over it (close code {code})")
            }
            Dead::InVain => format!(
                "sent {} times, and each time the connection ended before discord was known to have read it",
                message.sends
            ),
        };
        tracing::warn!(shard = self.number, reason, "giving a command up");
        metrics::command("given_up");
        metrics::dead_letter("command_given_up");
        let replies = &self.context.replies;
        replies.reject(self.number, *message.delivery, reason, true);
    }
}
