//! Commands that Discord may not have: sent again.
//!
//! They were acknowledged and answered when the socket took them. What is known of them since then is in
//! [`crate::core::handed`].

use lapin::message::Delivery;

use super::Task;
use crate::{
    core::{
        close::blames_a_packet,
        command::{Action, Packet, RateLimited},
    },
    metrics,
    shell::context::unix_millis,
};

/// How often a command is sent: one that ends every connection that takes it must come to an end itself.
const MOST_SENDS: u8 = 5;

/// The close code that stands for "no close frame" (RFC 6455, section 7.4.1).
pub(super) const ABNORMAL: u16 = 1006;

/// A command's message, and how often the command has been sent. Once sent, the message is acknowledged.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) delivery: Box<Delivery>,
    pub(super) sends: u8,
}

impl Ticket {
    /// Whether RabbitMQ won't hand it out again.
    pub(super) fn is_ours(&self) -> bool {
        self.sends > 0
    }
}

impl Task {
    /// The connection has ended with `code`; `None` if there was no close frame either way.
    pub(super) fn connection_ended(&mut self, code: Option<u16>) {
        let asked = std::mem::take(&mut self.closing);
        match code {
            // Discord's answer to our close frame: it has read what came before that.
            Some(code) if asked && code != ABNORMAL => self.handed.settle(),
            Some(code) if blames_a_packet(code) => {
                let shard = self.number;
                tracing::warn!(shard, code, "what was sent last is not sent again");
                self.handed.settle();
            }
            // A close frame that Discord sent first says nothing about what was on its way to it.
            _ => self.send_again(),
        }
    }

    fn send_again(&mut self) {
        let unproven = self.handed.take_unproven();
        if !unproven.is_empty() {
            tracing::info!(
                shard = self.number,
                commands = unproven.len(),
                "the connection ended before discord was known to have the last commands, sending them again"
            );
            self.give_back(unproven);
        }
    }

    /// Discord refused a request, which waits as long as Discord says and goes again.
    pub(super) fn refused(&mut self, limited: &RateLimited) {
        let until = unix_millis().saturating_add(limited.retry_after_ms);
        self.schedule.limit(limited.opcode, limited.guild, until);
        let refused = self.handed.take_refused(limited);
        tracing::info!(
            shard = self.number,
            opcode = limited.opcode,
            wait_ms = limited.retry_after_ms,
            again = refused.is_some(),
            "discord asks to wait with requests for a guild"
        );
        self.give_back(refused.into_iter().collect());
    }

    fn give_back(&mut self, packets: Vec<(Packet, Ticket)>) {
        let mut again = Vec::with_capacity(packets.len());
        for (packet, ticket) in packets {
            if ticket.sends < MOST_SENDS {
                again.push((Action::Send(packet), ticket));
            } else {
                self.give_up(ticket, format!("sent {MOST_SENDS} times in vain"));
            }
        }
        self.schedule.give_back(again);
        self.look_now();
    }

    /// The shard ends here: what it has acknowledged, and Discord may not have, becomes dead letters.
    pub(super) fn give_up_all(&mut self) {
        let waiting: Vec<Ticket> = self.schedule.drain().collect();
        let unproven = self.handed.take_unproven();
        let unproven = unproven.into_iter().map(|(_, ticket)| ticket);
        for ticket in unproven.chain(waiting).filter(Ticket::is_ours) {
            let reason = "it is not known whether discord has taken the command, and its shard ended before it could send it again";
            self.give_up(ticket, reason.to_owned());
        }
    }

    fn give_up(&self, ticket: Ticket, reason: String) {
        metrics::command("given_up");
        metrics::dead_letter("command_given_up");
        self.context
            .desk
            .give_up(self.number, *ticket.delivery, reason);
    }
}
