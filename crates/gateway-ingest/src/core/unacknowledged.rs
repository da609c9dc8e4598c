//! Commands that have left for Discord, and which it is not known yet to have read.
//!
//! No command is acknowledged by Discord, and a socket takes bytes long after its other end is gone. What proves that
//! a command was read is the answer to something written after it on the same connection: the acknowledgement of a later heartbeat, or
//! of our close frame. Until then RabbitMQ keeps it. A connection that ends before may have taken commands with it: they are sent again
//! on the next one, first and in order.
//!
//! A connection that Discord closes over a packet (4001, 4002) has read all that was sent before that packet, and nothing after it. Which
//! one it was is known if only one had no proof. Else those without are sent again one by one, each once the one before it has
//! been quiet for a while, until the connection is closed again: then it was the last.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    close::blames_a_packet,
    command::{Packet, REQUEST_MEMBERS, RateLimited},
};

/// How long Discord may take to refuse a request for a full member list, which it looks up elsewhere.
const REFUSAL_LIMIT: Duration = Duration::from_secs(5);

/// Time in which Discord closes a connection over the packet that was sent last.
const QUIET: Duration = Duration::from_secs(2);

/// Commands without proof, at most: more than may be sent in a minute. More come together only where Discord acknowledges no
/// heartbeats and yet goes on sending, so that the connection isn't taken for dead. The oldest ones then have surely been read.
const MOST: usize = 200;

/// How often a command is sent: one that ends every connection that takes it must come to an end itself.
const MOST_SENDS: u8 = 5;

/// A command's message, and what has become of the command. `D` is the message as the caller knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandMessage<D> {
    /// The message.
    pub delivery: D,
    /// How often the command has left.
    pub sends: u8,
    /// Whether Discord may have closed a connection over it.
    suspect: bool,
}

impl<D> CommandMessage<D> {
    /// Of a command that was not sent yet.
    pub fn new(delivery: D) -> Self {
        Self {
            delivery,
            sends: 0,
            suspect: false,
        }
    }
}

/// Why a command becomes a dead letter after it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// Discord closed the connection over it, with this code.
    Refused(u16),
    /// It has ended too many connections, or was on too many that ended.
    InVain,
}

/// What a connection's end means for the commands sent on it.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended<D> {
    /// Discord has read them.
    pub read: Vec<CommandMessage<D>>,
    /// To be sent again, before all others and in this order.
    pub again: Vec<(Packet, CommandMessage<D>)>,
    /// Not to be sent again.
    pub dead: Vec<(CommandMessage<D>, Dead)>,
}

/// The commands of a shard that have left on its connection of the moment, in order.
#[derive(Debug)]
pub struct Unacknowledged<D> {
    sent: VecDeque<Sent<D>>,
    /// When those heartbeats were written that Discord has not acknowledged.
    heartbeats: VecDeque<Instant>,
    last_heartbeat: Option<Instant>,
    /// How many suspects wait to be sent again.
    suspects: usize,
}

#[derive(Debug)]
struct Sent<D> {
    packet: Packet,
    message: CommandMessage<D>,
    at: Instant,
    /// Long enough ago, and alone, so that Discord did not close the connection over it.
    cleared: bool,
}

impl<D> Default for Unacknowledged<D> {
    fn default() -> Self {
        Self {
            sent: VecDeque::new(),
            heartbeats: VecDeque::new(),
            last_heartbeat: None,
            suspects: 0,
        }
    }
}

impl<D> Unacknowledged<D> {
    /// A command has left; `at` is a time after that. Returned is one that Discord has read, if there are too many.
    pub fn push(
        &mut self,
        packet: Packet,
        mut message: CommandMessage<D>,
        at: Instant,
    ) -> Option<CommandMessage<D>> {
        message.sends = message.sends.saturating_add(1);
        if message.suspect {
            self.suspects = self.suspects.saturating_sub(1);
        }
        self.sent.push_back(Sent {
            packet,
            message,
            at,
            cleared: false,
        });
        let oldest = (self.sent.len() > MOST).then(|| self.sent.pop_front())?;
        oldest.map(|sent| sent.message)
    }

    /// Until when no further command may leave, if the one before is still under suspicion at `now`.
    pub fn held_until(&mut self, now: Instant) -> Option<Instant> {
        let open = |sent: &Sent<D>| sent.message.suspect && !sent.cleared;
        if self.suspects == 0 && !self.sent.iter().any(open) {
            return None;
        }
        let last = self.sent.back().filter(|last| !last.cleared)?;
        let quiet_at = last.at + QUIET;
        if quiet_at > now {
            return Some(quiet_at);
        }
        for sent in &mut self.sent {
            sent.cleared = true;
            sent.message.suspect = false;
        }
        None
    }

    /// The newest heartbeat of the connection was written at this time; may be said more than once.
    pub fn heartbeat_sent(&mut self, at: Instant) {
        if self.last_heartbeat != Some(at) {
            self.last_heartbeat = Some(at);
            self.heartbeats.push_back(at);
        }
    }

    /// Discord acknowledged a heartbeat, the oldest that it has not yet: it has read what was written before, which is returned.
    pub fn heartbeat_acknowledged(&mut self) -> Vec<CommandMessage<D>> {
        let Some(heartbeat) = self.heartbeats.pop_front() else {
            return Vec::new();
        };
        let proves = |sent: &Sent<D>| {
            let answer = if sent.packet.is_full_list() {
                REFUSAL_LIMIT
            } else {
                Duration::ZERO
            };
            sent.at + answer < heartbeat
        };
        let sent = std::mem::take(&mut self.sent).into_iter();
        let (read, open): (VecDeque<_>, VecDeque<_>) = sent.partition(proves);
        self.sent = open;
        messages(read)
    }

    /// The connection has ended with `code`; `None` if there was no close frame either way. `asked` if we had sent one first, which
    /// Discord then has answered.
    pub fn connection_ended(&mut self, code: Option<u16>, asked: bool) -> Ended<D> {
        self.heartbeats.clear();
        self.last_heartbeat = None;
        let sent = std::mem::take(&mut self.sent);
        match code {
            Some(code) if blames_a_packet(code) => self.blamed(sent, code),
            Some(_) if asked => Ended {
                read: messages(sent),
                again: Vec::new(),
                dead: Vec::new(),
            },
            // A close frame that Discord sent first says nothing about what was on its way to it.
            _ => self.again(sent),
        }
    }

    fn blamed(&mut self, mut sent: VecDeque<Sent<D>>, code: u16) -> Ended<D> {
        let mut open = sent.split_off(sent.partition_point(|sent| sent.cleared));
        if open.is_empty() {
            // Late: those that were quiet are under suspicion after all.
            open = std::mem::take(&mut sent);
        }
        let read = messages(sent);
        if open.len() == 1 {
            let blamed = |message| (message, Dead::Refused(code));
            return Ended {
                read,
                again: Vec::new(),
                dead: messages(open).into_iter().map(blamed).collect(),
            };
        }
        for sent in &mut open {
            sent.message.suspect = true;
        }
        Ended {
            read,
            ..self.again(open)
        }
    }

    fn again(&mut self, sent: VecDeque<Sent<D>>) -> Ended<D> {
        let (again, dead): (Vec<_>, Vec<_>) = sent
            .into_iter()
            .map(|sent| (sent.packet, sent.message))
            .partition(|(_, message)| message.sends < MOST_SENDS);
        self.suspects += again.iter().filter(|(_, message)| message.suspect).count();
        let dead = dead.into_iter().map(|(_, message)| (message, Dead::InVain));
        Ended {
            read: Vec::new(),
            again,
            dead: dead.collect(),
        }
    }

    /// The request that Discord refused, if it was one for members: the newest that fits.
    pub fn take_refused(&mut self, limited: &RateLimited) -> Option<(Packet, CommandMessage<D>)> {
        if limited.opcode != REQUEST_MEMBERS {
            return None;
        }
        let fits = |Sent { packet, .. }: &Sent<D>| {
            let same = packet.opcode() == REQUEST_MEMBERS && packet.guild() == Some(limited.guild);
            // Without a nonce the answer doesn't say which one; only full lists are known to be refused.
            let this_one = match &limited.nonce {
                Some(nonce) => packet.nonce() == Some(nonce),
                None => packet.is_full_list(),
            };
            same && this_one
        };
        let index = self.sent.iter().rposition(fits)?;
        let Sent {
            packet,
            mut message,
            ..
        } = self.sent.remove(index)?;
        // Discord has read it, so it has ended no connection.
        message.suspect = false;
        message.sends = 0;
        Some((packet, message))
    }

    /// Forgets all of them: RabbitMQ hands them out again.
    pub fn clear(&mut self) {
        self.sent.clear();
        self.suspects = 0;
    }
}

fn messages<D>(sent: VecDeque<Sent<D>>) -> Vec<CommandMessage<D>> {
    sent.into_iter().map(|sent| sent.message).collect()
}

#[cfg(test)]
mod tests;
