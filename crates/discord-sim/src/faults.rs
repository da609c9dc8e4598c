//! Faults on demand: what goes wrong, and for whom.

mod answers;
mod rest;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

pub use answers::{Answer, Host, Point};
pub use rest::{RestBody, RestFault};

pub(crate) use rest::RestFaults;

use answers::Answers;

/// Something that goes wrong between Discord and a client.
///
/// In the control API: `"drop"`, `{"close": 4000}`, `{"invalid_session": {"resumable": true}}` …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Cuts the TCP connection with a reset: what is in flight is lost, the session stays resumable.
    Drop,
    /// From now on nothing is read from the connections that exist, nor written to them, and nobody is told: a network that
    /// swallows everything. Their sessions stay resumable on new connections.
    BlackHole,
    /// Op 7; a client that has not gone after 5 s
    /// is closed with 4000.
    Reconnect,
    /// Op 7, then [`Fault::BlackHole`]: the node dies before the client has gone.
    ReconnectThenSilence,
    /// Op 9. Not resumable ends the session, with whatever was not yet written to its socket.
    InvalidSession {
        /// The op's `d`.
        resumable: bool,
    },
    /// Op 1: asks for a heartbeat at once.
    RequestHeartbeat,
    /// Closes with this code, which decides about the session as Discord's documentation says.
    Close(u16),
    /// Heartbeats are not acknowledged while true, now and on later connections.
    StallAcks(bool),
    /// While true, gateway connections are reset: all of them at once when accepted, those of one
    /// shard at IDENTIFY or RESUME. REST still answers.
    RefuseConnections(bool),
    /// Events are written no faster than this, now and on later connections.
    SlowSocket {
        /// Bytes of messages (after compression) in a second; at least 1.
        bytes_per_second: u64,
    },
    /// Ends [`Fault::SlowSocket`].
    NormalSocket,
    /// While true, each payload of a `zlib-stream` comes in several websocket messages, now and on later connections. Discord
    /// promises only that the last of them ends with `00 00 FF FF`.
    SplitMessages(bool),
    /// At this point of a connection the gateway answers so instead of as it should. What was asked for first is answered
    /// first: twice `{"close": 1011}`, then once `"reset"`, is a sequence of three.
    Answer {
        /// Where.
        at: Point,
        /// How.
        with: Answer,
        /// How often, over all connections in the scope; left out: until [`Fault::AnswerNormally`].
        #[serde(default)]
        times: Option<u32>,
        /// On connections to this address; left out: to any.
        #[serde(default)]
        host: Option<Host>,
    },
    /// Ends [`Fault::Answer`].
    AnswerNormally {
        /// At this point; left out: at every.
        #[serde(default)]
        at: Option<Point>,
    },
}

/// Whom a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every connection.
    All,
    /// Connections of this shard id, whatever their total.
    Shard(u32),
}

impl Scope {
    /// Whether a connection of `shard` is meant; `None` = not yet identified.
    pub fn covers(self, shard: Option<u32>) -> bool {
        match self {
            Self::All => true,
            Self::Shard(meant) => shard == Some(meant),
        }
    }
}

/// The faults that last: they hold for connections that are made later, too.
#[derive(Debug, Default)]
pub(crate) struct LastingFaults {
    stalled: Switch,
    refused: Switch,
    split: Switch,
    slow_all: Option<u64>,
    slow: HashMap<u32, Option<u64>>,
    pub(crate) answers: Answers,
    pub(crate) rest: RestFaults,
}

impl LastingFaults {
    /// Takes over a lasting fault; false if it is one of a moment.
    pub(crate) fn set(&mut self, fault: Fault, scope: Scope) -> bool {
        match fault {
            Fault::StallAcks(on) => self.stalled.set(on, scope),
            Fault::RefuseConnections(on) => self.refused.set(on, scope),
            Fault::SplitMessages(on) => self.split.set(on, scope),
            Fault::SlowSocket { bytes_per_second } => {
                self.set_speed(Some(bytes_per_second.max(1)), scope);
            }
            Fault::NormalSocket => self.set_speed(None, scope),
            Fault::Answer {
                at,
                with,
                times,
                host,
            } => self.answers.add((at, with), times, host, scope),
            Fault::AnswerNormally { at } => self.answers.remove(at, scope),
            _ => return false,
        }
        true
    }

    fn set_speed(&mut self, speed: Option<u64>, scope: Scope) {
        match scope {
            Scope::All => {
                self.slow_all = speed;
                self.slow.clear();
            }
            Scope::Shard(shard) => {
                self.slow.insert(shard, speed);
            }
        }
    }

    /// Whether heartbeats of this shard stay without answer.
    pub(crate) fn stalls_acks(&self, shard: Option<u32>) -> bool {
        self.stalled.is_on(shard)
    }

    /// Whether connections of this shard are refused (`None`: before the shard is known).
    pub(crate) fn refuses(&self, shard: Option<u32>) -> bool {
        self.refused.is_on(shard)
    }

    /// Whether payloads for this shard are split (`None`: before the shard is known).
    pub(crate) fn splits(&self, shard: Option<u32>) -> bool {
        self.split.is_on(shard)
    }

    /// Bytes per second for this shard; `None` = unlimited.
    pub(crate) fn speed(&self, shard: Option<u32>) -> Option<u64> {
        shard
            .and_then(|shard| self.slow.get(&shard).copied())
            .unwrap_or(self.slow_all)
    }
}

/// A switch for all shards and for single ones.
#[derive(Debug, Default)]
struct Switch {
    all: bool,
    shards: HashSet<u32>,
}

impl Switch {
    fn set(&mut self, on: bool, scope: Scope) {
        match (scope, on) {
            (Scope::All, _) => {
                self.all = on;
                self.shards.clear();
            }
            (Scope::Shard(shard), true) => {
                self.shards.insert(shard);
            }
            (Scope::Shard(shard), false) => {
                self.shards.remove(&shard);
            }
        }
    }

    fn is_on(&self, shard: Option<u32>) -> bool {
        self.all || shard.is_some_and(|shard| self.shards.contains(&shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lasting_faults_hold_for_their_scope() {
        let mut faults = LastingFaults::default();
        assert!(faults.set(Fault::StallAcks(true), Scope::Shard(1)));
        assert!(faults.stalls_acks(Some(1)) && !faults.stalls_acks(Some(0)));
        assert!(faults.set(Fault::StallAcks(false), Scope::All));
        assert!(!faults.stalls_acks(Some(1)));
        faults.set(
            Fault::SlowSocket {
                bytes_per_second: 0,
            },
            Scope::All,
        );
        faults.set(Fault::NormalSocket, Scope::Shard(2));
        assert_eq!(
            (faults.speed(Some(0)), faults.speed(Some(2))),
            (Some(1), None)
        );
        faults.set(Fault::RefuseConnections(true), Scope::Shard(3));
        assert!(faults.refuses(Some(3)) && !faults.refuses(None));
        assert!(!faults.set(Fault::Drop, Scope::All));
    }

    #[test]
    fn faults_read_as_documented() {
        let read = |text: &str| serde_json::from_str::<Fault>(text).unwrap();
        assert_eq!(read("\"drop\""), Fault::Drop);
        assert_eq!(read("\"black_hole\""), Fault::BlackHole);
        assert_eq!(read("{\"close\":4000}"), Fault::Close(4000));
        assert_eq!(
            read("{\"invalid_session\":{\"resumable\":true}}"),
            Fault::InvalidSession { resumable: true }
        );
        let refused = Fault::Answer {
            at: Point::Command(4),
            with: Answer::Close(4002),
            times: Some(1),
            host: None,
        };
        let text = r#"{"answer":{"at":{"command":4},"with":{"close":4002},"times":1}}"#;
        assert_eq!(read(text), refused);
        let normally = Fault::AnswerNormally { at: None };
        assert_eq!(read(r#"{"answer_normally":{}}"#), normally);
    }
}
