//! From the shard's queue to Discord.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use dispatch_service::amqp::deadline;
use futures_util::Stream as _;
use tokio::time::Instant;
use twilight_gateway::{CloseFrame, ShardState};

use super::{Task, again::Ticket};
use crate::{
    core::{
        command::{Action, read},
        schedule::{Link, Step},
    },
    error::IngestError,
    metrics,
    shell::{
        commands::{Inbound, op},
        context::unix_millis,
    },
};

/// Shortest wait for the rate limiter, whose own answer may be "now" for a permit that is not released yet.
const ROOM_LATER: Duration = Duration::from_millis(50);

/// Whether the connection takes a command now.
enum Room {
    Now,
    After(Duration),
    /// The shard is away: not before something changes.
    Unknown,
}

impl Task {
    /// Takes in a command.
    pub(super) fn command(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Anew => self.schedule.retain(Ticket::is_ours),
            Inbound::Command(delivery) => match read(&delivery.data, op(&delivery).as_deref()) {
                Ok(action) => {
                    let ttl = self.context.config.command_ttl.as_millis() as u64;
                    let until = deadline(&delivery.properties)
                        .unwrap_or_else(|| unix_millis().saturating_add(ttl));
                    let ticket = Ticket { delivery, sends: 0 };
                    self.schedule.push(action, until, ticket);
                    self.look_now();
                }
                Err(refusal) => {
                    metrics::command("refused");
                    metrics::dead_letter("command_refused");
                    self.context
                        .desk
                        .reject(self.number, *delivery, refusal.to_string());
                }
            },
        }
    }

    /// Hands over what may go now, and notes when to look again.
    pub(super) async fn hand_over_due(&mut self) -> Result<(), IngestError> {
        if self.look_at.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        self.look_at = None;
        while !self.schedule.is_empty() {
            let room = self.room();
            let now = unix_millis();
            let link = match room {
                Room::Now => Link::Free,
                Room::After(_) => Link::Busy,
                Room::Unknown => Link::Away,
            };
            match self.schedule.next(now, link) {
                Step::HandOver(action, ticket) => self.hand_over(action, ticket).await?,
                Step::Expired(Ticket { delivery, .. }) => {
                    metrics::command("expired");
                    metrics::dead_letter("command_expired");
                    let reason = "no shard took the command within its time".to_owned();
                    self.context.desk.reject(self.number, *delivery, reason);
                }
                Step::Wait(until) => {
                    let until = until.map(|until| Duration::from_millis(until.saturating_sub(now)));
                    let room = match room {
                        Room::After(wait) => Some(wait),
                        Room::Now | Room::Unknown => None,
                    };
                    let wait = [until, room].into_iter().flatten().min();
                    // A wait without end of its own is ended by a new command or status.
                    self.look_at = wait.map(|wait| Instant::now() + wait);
                    break;
                }
            }
        }
        Ok(())
    }

    fn room(&self) -> Room {
        let Some(socket) = &self.socket else {
            return Room::Unknown;
        };
        if socket.state() != ShardState::Active || self.asking_owner.is_some() {
            return Room::Unknown;
        }
        // Nothing is read while an event waits for room, and what isn't polled doesn't send.
        if self.admission.is_some() {
            return Room::After(ROOM_LATER);
        }
        match socket.ratelimiter() {
            // The limiter keeps what heartbeats need.
            Some(limiter) if limiter.available() == 0 => {
                Room::After(limiter.next_available().max(ROOM_LATER))
            }
            _ => Room::Now,
        }
    }

    async fn hand_over(&mut self, action: Action, mut ticket: Ticket) -> Result<(), IngestError> {
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let outcome = match &action {
            Action::Send(packet) => {
                socket.send(packet.text.clone());
                if ticket.is_ours() {
                    "sent_again"
                } else {
                    "sent"
                }
            }
            Action::Reconnect => {
                socket.close(CloseFrame::RESUME);
                self.closing = true;
                "reconnected"
            }
            Action::Identify => {
                self.session_dropped = true;
                socket.close(CloseFrame::NORMAL);
                self.closing = true;
                "identified"
            }
        };
        // Polled once before the ack, so that the command is on the socket and not only in the client's queue, where a stop would
        // lose it.
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *socket).poll_next(cx))).await;
        metrics::command(outcome);
        if !ticket.is_ours() {
            self.context.desk.carried_out(self.number, &ticket.delivery);
        }
        if let Action::Send(packet) = action {
            ticket.sends += 1;
            // The time is taken now: a heartbeat that this poll has sent may have gone before the command.
            self.handed.push(packet, ticket, Instant::now().into_std());
        }
        match polled {
            Poll::Ready(item) => self.read(item),
            Poll::Pending => Ok(()),
        }
    }
}
