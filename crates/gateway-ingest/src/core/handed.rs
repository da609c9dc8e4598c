//! Commands that are written to the socket, of which it is not known yet that Discord has them.
//!
//! Op codes 3, 4, 8, 31 and 43 have no acknowledgement of their own, and a socket takes bytes long after its other end is gone. What
//! proves that Discord has read a command is the answer to something written after it: the acknowledgement of a later
//! heartbeat, or of our close frame. A connection that ends without either may have taken commands with it: they are sent
//! again on the next one, first and in order.
//!
//! Full member lists are remembered for a while longer: Discord may still refuse them with RATE_LIMITED.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::command::{Packet, REQUEST_MEMBERS, RateLimited};

/// How long Discord may take to refuse a request for a full member list.
const REFUSAL_LIMIT: Duration = Duration::from_secs(30);

/// Packets remembered. Twice what may be sent in a heartbeat interval; more come together only where Discord acknowledges no
/// heartbeats and yet goes on sending, so that the connection isn't taken for dead. The oldest ones then have surely been read.
const MOST: usize = 256;

/// The packets that a shard has sent lately, in order. `T` is what the caller wants back with each.
#[derive(Debug)]
pub struct Handed<T> {
    packets: VecDeque<Sent<T>>,
}

#[derive(Debug)]
struct Sent<T> {
    packet: Packet,
    tag: T,
    at: Instant,
    /// Whether Discord is known to have it.
    proven: bool,
}

impl<T> Default for Handed<T> {
    fn default() -> Self {
        Self {
            packets: VecDeque::new(),
        }
    }
}

impl<T> Handed<T> {
    /// A packet was written to the socket; `at` is a time after that.
    pub fn push(&mut self, packet: Packet, tag: T, at: Instant) {
        if self.packets.len() >= MOST {
            self.packets.pop_front();
        }
        self.packets.push_back(Sent {
            packet,
            tag,
            at,
            proven: false,
        });
    }

    /// Discord acknowledged a heartbeat that was written at `sent`: it has read what was written before.
    pub fn acknowledged(&mut self, sent: Instant) {
        self.prove(|packet| packet.at < sent);
        let refusable = |at: Instant| at + REFUSAL_LIMIT > sent;
        self.packets
            .retain(|sent| !sent.proven || sent.packet.full_list && refusable(sent.at));
    }

    /// Discord has read all that was written to the connection, which ended in order.
    pub fn settle(&mut self) {
        self.prove(|_| true);
        self.packets.retain(|sent| sent.packet.full_list);
    }

    /// The connection has died: what Discord may never have read, in order.
    pub fn take_unproven(&mut self) -> Vec<(Packet, T)> {
        let (proven, unproven) = std::mem::take(&mut self.packets)
            .into_iter()
            .partition(|sent| sent.proven);
        self.packets = proven;
        let unproven: VecDeque<Sent<T>> = unproven;
        unproven
            .into_iter()
            .map(|sent| (sent.packet, sent.tag))
            .collect()
    }

    /// The request that Discord refused, if it was one for members: the newest that fits.
    pub fn take_refused(&mut self, limited: &RateLimited) -> Option<(Packet, T)> {
        let fits = |Sent { packet, .. }: &Sent<T>| {
            let same = packet.opcode == REQUEST_MEMBERS && packet.guild == Some(limited.guild);
            // Without a nonce the answer doesn't say which one; only full lists are known to be refused.
            let this_one = match &limited.nonce {
                Some(nonce) => packet.nonce.as_ref() == Some(nonce),
                None => packet.full_list,
            };
            same && this_one
        };
        if limited.opcode != REQUEST_MEMBERS {
            return None;
        }
        let index = self.packets.iter().rposition(fits)?;
        let sent = self.packets.remove(index)?;
        Some((sent.packet, sent.tag))
    }

    /// Whether nothing is unproven.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.packets.iter().all(|sent| sent.proven)
    }

    fn prove(&mut self, which: impl Fn(&Sent<T>) -> bool) {
        for sent in self.packets.iter_mut().filter(|sent| which(sent)) {
            sent.proven = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn packet(opcode: u8, full_list: bool, nonce: Option<&str>) -> Packet {
        Packet {
            text: String::new(),
            opcode,
            guild: Some(7),
            full_list,
            nonce: nonce.map(Into::into),
        }
    }

    fn tags(packets: Vec<(Packet, u32)>) -> Vec<u32> {
        packets.into_iter().map(|(_, tag)| tag).collect()
    }

    fn refusal(nonce: Option<&str>) -> RateLimited {
        RateLimited {
            opcode: REQUEST_MEMBERS,
            guild: 7,
            retry_after_ms: 1,
            nonce: nonce.map(Into::into),
        }
    }

    #[test]
    fn only_a_later_heartbeat_proves_a_packet() {
        let start = Instant::now();
        let mut handed = Handed::default();
        for tag in 0..4 {
            handed.push(packet(3, false, None), tag, start + tag * SECOND);
        }
        handed.acknowledged(start + 2 * SECOND);
        assert!(!handed.is_proven());
        assert_eq!(tags(handed.take_unproven()), [2, 3]);
        assert!(handed.is_proven());
        assert_eq!(tags(handed.take_unproven()), [0; 0]);
    }

    #[test]
    fn no_more_are_remembered_than_may_be() {
        let mut handed = Handed::default();
        let now = Instant::now();
        for tag in 0..300 {
            handed.push(packet(3, false, None), tag, now);
        }
        assert!(tags(handed.take_unproven()).into_iter().eq(44..300));
    }

    #[test]
    fn an_end_in_order_proves_all() {
        let mut handed = Handed::default();
        handed.push(packet(4, false, None), 0, Instant::now());
        handed.settle();
        assert!(handed.is_proven());
        assert_eq!(tags(handed.take_unproven()), [0; 0]);
    }

    #[test]
    fn a_refused_list_is_found_after_its_proof_for_a_while() {
        let start = Instant::now();
        let mut handed = Handed::default();
        handed.push(packet(8, true, None), 0, start);
        handed.push(packet(8, false, None), 1, start);
        handed.acknowledged(start + SECOND);
        assert_eq!(handed.take_refused(&refusal(Some("other"))), None);
        let found = handed.take_refused(&refusal(None)).map(|(_, tag)| tag);
        assert_eq!(found, Some(0));
        assert_eq!(handed.take_refused(&refusal(None)), None);
        handed.push(packet(8, true, None), 2, start);
        handed.acknowledged(start + REFUSAL_LIMIT);
        assert_eq!(handed.take_refused(&refusal(None)), None);
    }

    #[test]
    fn a_nonce_says_which_request_was_refused() {
        let mut handed = Handed::default();
        let now = Instant::now();
        handed.push(packet(8, true, Some("a")), 0, now);
        handed.push(packet(8, false, Some("b")), 1, now);
        handed.push(packet(8, true, None), 2, now);
        let found = |handed: &mut Handed<u32>, nonce| {
            let found = handed.take_refused(&refusal(nonce));
            found.map(|(_, tag)| tag)
        };
        assert_eq!(found(&mut handed, Some("b")), Some(1));
        assert_eq!(found(&mut handed, Some("a")), Some(0));
        let another = RateLimited {
            opcode: 31,
            ..refusal(None)
        };
        assert_eq!(handed.take_refused(&another), None);
        assert_eq!(found(&mut handed, None), Some(2));
    }
}
