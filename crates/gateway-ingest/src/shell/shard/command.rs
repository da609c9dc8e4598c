//! From the shard's queue to Discord.

use std::{future::poll_fn, task::Poll, time::Duration};

use dispatch_service::{amqp::deadline, clock::unix_millis};
use lapin::message::Delivery;
use tokio::{task::unconstrained, time::Instant};

use super::{Task, outcome::CommandMessage};
use crate::{
    core::{
        command::{Action, Packet, read},
        connection::Input,
        departures::{Departures, commands_a_minute},
        schedule::{Link, Schedule, Step},
        unacknowledged::Unacknowledged,
    },
    error::IngestError,
    metrics,
    shell::commands::{Commands, Inbound, op},
};

/// Shortest wait for the rate limiter, whose own answer may be "now" for a permit that is not released yet.
const ROOM_LATER: Duration = Duration::from_millis(50);

/// Sends of a minute that are kept for what is no request for data, so that a voice join needn't wait for the next minute.
const RESERVED: u8 = 10;

/// How long a command is waited for that the client has and seems not to write. RabbitMQ keeps it meanwhile, whatever comes of it.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// Whether the connection takes a command now.
enum Room {
    Now,
    /// Not one that requests data, before so long.
    Scarce(Duration),
    After(Duration),
    /// The shard is away: not before something changes.
    Unknown,
}

/// The shard's commands, from its queue to Discord.
#[derive(Default)]
pub(super) struct CommandQueue {
    /// They come from here while the shard is owned.
    pub(super) consumer: Option<Commands>,
    pub(super) schedule: Schedule<CommandMessage>,
    pub(super) leaving: Option<Leaving>,
    pub(super) departures: Departures,
    pub(super) unacknowledged: Unacknowledged<Box<Delivery>>,
    /// When the schedule is to be looked at again.
    pub(super) look_at: Option<Instant>,
}

/// A command that the client has, and has not written to the socket. There is one at most: the client's own queue has no bound, and what is
/// in it can't be overtaken.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) packet: Packet,
    pub(super) message: CommandMessage,
    /// Most permits that were free since.
    free: u8,
    since: Instant,
}

impl Task {
    /// Takes in a command.
    pub(super) fn command(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Anew => self.forget_commands(),
            Inbound::Command(delivery) => match read(&delivery.data, op(&delivery).as_deref()) {
                Ok(action) => {
                    let ttl = self.context.config.command_ttl.as_millis() as u64;
                    let until = deadline(&delivery.properties);
                    let until = until.unwrap_or_else(|| unix_millis().saturating_add(ttl));
                    // It was in hand before, and its time over then: a restart must not count against it.
                    let until = if delivery.redelivered {
                        u64::MAX
                    } else {
                        until
                    };
                    self.queue
                        .schedule
                        .push(action, until, CommandMessage::new(delivery));
                    self.look_now();
                }
                Err(refusal) => {
                    metrics::command("refused");
                    metrics::dead_letter("command_refused");
                    let replies = &self.context.replies;
                    replies.reject(self.number, *delivery, refusal.to_string(), false);
                }
            },
        }
    }

    /// Hands over what may go now, and notes when to look again.
    pub(super) async fn hand_over_due(&mut self) -> Result<(), IngestError> {
        self.note_heartbeat();
        self.note_departure();
        if self.queue.look_at.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        self.queue.look_at = self
            .queue
            .leaving
            .as_ref()
            .map(|_| Instant::now() + ROOM_LATER);
        while !self.queue.schedule.is_empty() {
            let room = self.room();
            let now = unix_millis();
            let link = match room {
                Room::Now => Link::Free,
                Room::Scarce(_) => Link::Scarce,
                Room::After(_) => Link::Busy,
                Room::Unknown => Link::Away,
            };
            match self.queue.schedule.next(now, link) {
                Step::HandOver(Action::Send(packet), message) => self.send(packet, message).await?,
                Step::HandOver(Action::Reconnect, message) => {
                    self.reconnect(false, "reconnected", &message)?;
                }
                Step::HandOver(Action::Identify, message) => {
                    self.reconnect(true, "identified", &message)?;
                }
                Step::Expired(message) => {
                    metrics::command("expired");
                    metrics::dead_letter("command_expired");
                    let reason = "no shard took the command within its time".to_owned();
                    let replies = &self.context.replies;
                    replies.reject(self.number, *message.delivery, reason, false);
                }
                Step::Wait(until) => {
                    let until = until.map(|until| Duration::from_millis(until.saturating_sub(now)));
                    let room = match room {
                        Room::Scarce(wait) | Room::After(wait) => Some(wait),
                        Room::Now | Room::Unknown => None,
                    };
                    let wait = [until, room].into_iter().flatten().min();
                    // A wait without end of its own is ended by a new command or status.
                    self.queue.look_at = wait.map(|wait| Instant::now() + wait);
                    break;
                }
            }
        }
        Ok(())
    }

    fn room(&mut self) -> Room {
        let Some(client) = &self.client else {
            return Room::Unknown;
        };
        if !self.policy.is_live() || !client.is_active() {
            return Room::Unknown;
        }
        // Nothing is read while an event waits for room, and what isn't polled doesn't send.
        if self.reading.admission.is_some() || self.queue.leaving.is_some() {
            return Room::After(ROOM_LATER);
        }
        let now = Instant::now();
        if let Some(until) = self.queue.unacknowledged.held_until(now.into_std()) {
            return Room::After(Instant::from_std(until) - now);
        }
        let Some(limiter) = client.limiter() else {
            return Room::Unknown;
        };
        // The limiter keeps what heartbeats need.
        if limiter.available() == 0 {
            return Room::After(limiter.next_available().max(ROOM_LATER));
        }
        let full = |permits: u8| {
            let until = self.queue.departures.full_until(permits, now.into_std())?;
            Some(Instant::from_std(until) - now)
        };
        let heartbeat = self.reading.beat.interval.unwrap_or(Duration::MAX);
        let most = limiter.max().min(commands_a_minute(heartbeat));
        match full(most) {
            Some(wait) => Room::After(wait),
            None => full(most.saturating_sub(RESERVED)).map_or(Room::Now, Room::Scarce),
        }
    }

    async fn send(&mut self, packet: Packet, message: CommandMessage) -> Result<(), IngestError> {
        let Some(client) = &mut self.client else {
            self.queue
                .schedule
                .give_back(vec![(Action::Send(packet), message)]);
            return Ok(());
        };
        let free = |client: &super::Client| {
            let limiter = client.limiter();
            limiter.map(twilight_gateway::CommandRatelimiter::available)
        };
        let (before, from) = (free(client), Instant::now());
        client.send(packet.json().to_owned());
        // Tokio's budget for a task would keep the client from writing after some sixty commands, although it could.
        let poll = poll_fn(|cx| Poll::Ready(client.poll_next(cx)));
        let polled = unconstrained(poll).await;
        // The time is taken after the poll: a heartbeat that it has written may have gone before the command.
        let (after, to) = (free(client), Instant::now());
        let left = before.zip(after).is_some_and(|(before, after)| {
            let (from, to) = (from.into_std(), to.into_std());
            self.queue.departures.left(before, after, from, to)
        });
        let leaving = Leaving {
            packet,
            message,
            free: before.max(after).unwrap_or_default(),
            since: to,
        };
        if left {
            self.left(leaving, to);
        } else {
            self.queue.leaving = Some(leaving);
        }
        match polled {
            Poll::Ready(received) => self.received(received),
            Poll::Pending => Ok(()),
        }
    }

    /// Notes whether the command that the client had has left by now.
    fn note_departure(&mut self) {
        let Some(leaving) = &mut self.queue.leaving else {
            return;
        };
        let limiter = self.client.as_ref().and_then(super::Client::limiter);
        let Some(free) = limiter.map(twilight_gateway::CommandRatelimiter::available) else {
            return;
        };
        let left = free < leaving.free;
        leaving.free = leaving.free.max(free);
        if (left || leaving.since.elapsed() > LEAVE_LIMIT)
            && let Some(leaving) = self.queue.leaving.take()
        {
            self.left(leaving, Instant::now());
            self.look_now();
        }
    }

    fn left(&mut self, leaving: Leaving, at: Instant) {
        let Leaving {
            packet, message, ..
        } = leaving;
        if message.sends == 0 {
            metrics::command("sent");
            self.context.replies.reply(self.number, &message.delivery);
        } else {
            metrics::command("sent_again");
        }
        let read = self
            .queue
            .unacknowledged
            .push(packet, message, at.into_std());
        self.acknowledge(read);
    }

    fn reconnect(
        &mut self,
        new_session: bool,
        outcome: &'static str,
        message: &CommandMessage,
    ) -> Result<(), IngestError> {
        self.happened(Input::Command { new_session })?;
        metrics::command(outcome);
        let replies = &self.context.replies;
        replies.reply(self.number, &message.delivery);
        replies.acknowledge(self.number, &message.delivery);
        Ok(())
    }
}
