//! What arrived on the exchange.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use dispatch_proto::notice::GAP;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::digest;

/// Bodies are kept up to this many bytes in all, to show what differs; of the rest only digests are.
const KEPT_BYTES: usize = 64 * 1024 * 1024;
/// Problems that are kept in words.
const KEPT_PROBLEMS: usize = 10;

/// One delivery.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// `message_id`.
    pub id: Option<&'a str>,
    /// Routing key.
    pub routing_key: &'a str,
    /// `type`.
    pub kind: Option<&'a str>,
    /// Content type.
    pub content_type: Option<&'a str>,
    /// Delivery mode 2.
    pub persistent: bool,
    /// Header `shard`.
    pub shard: Option<i128>,
    /// Header `seq`.
    pub seq: Option<i128>,
    /// The broker has delivered it before.
    pub redelivered: bool,
    /// Body.
    pub body: &'a [u8],
}

/// The first occurrence of an event.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Place among all arrivals.
    pub order: u64,
    /// When it arrived.
    pub at: Instant,
    /// Shard, by the header.
    pub shard: i128,
    /// Event name.
    pub name: String,
    /// Digest of the bytes of `d`.
    pub data: u64,
    /// Digest of `old`, as a value.
    pub old: Option<u64>,
    /// Body, while there is room.
    pub text: Option<Box<str>>,
    body: u64,
}

/// Everything that arrived.
#[derive(Debug, Default)]
pub struct Ledger {
    sessions: HashMap<String, HashMap<u64, Arrival>>,
    events: u64,
    kept: usize,
    /// Deliveries of an event that had arrived before.
    pub repeated: u64,
    /// Of those, deliveries whose body was another.
    pub repeated_differing: u64,
    /// Of those, deliveries whose `old` alone was another.
    pub repeated_other_old: u64,
    /// For each repeat, when the event had arrived first.
    pub repeats: Vec<Instant>,
    runs: HashMap<i128, Runs>,
    /// Deliveries that the broker repeated because the collector's acknowledgement was lost with the connection.
    pub redelivered: u64,
    /// Gap notices, parsed.
    pub gaps: Vec<Value>,
    /// Messages that don't keep the contract's format.
    pub malformed: u64,
    /// The first of those, in words.
    pub problems: Vec<String>,
}

/// The runs of repeats of a shard: what was in flight at a crash comes again as one run, in its order, before anything new.
#[derive(Debug, Default)]
struct Runs {
    count: u64,
    longest: u64,
    /// Session, last sequence and length of the run that is under way.
    current: Option<(String, u64, u64)>,
}

impl Runs {
    fn repeat(&mut self, session: &str, seq: u64) {
        let length = match &self.current {
            Some((last, sequence, length)) if last != session || *sequence < seq => length + 1,
            // The same once more is another run.
            _ => {
                self.count += 1;
                1
            }
        };
        self.longest = self.longest.max(length);
        self.current = Some((session.to_owned(), seq, length));
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    op: u8,
    s: u64,
    t: String,
    #[serde(borrow)]
    d: &'a RawValue,
    old: Option<Value>,
}

impl Ledger {
    /// Takes down one delivery.
    pub fn record(&mut self, message: &Message<'_>) {
        if message.routing_key == GAP {
            let notice = serde_json::from_slice(message.body);
            self.gaps.push(notice.unwrap_or(Value::Null));
            return;
        }
        if let Err(problem) = self.record_event(message) {
            self.malformed += 1;
            if self.problems.len() < KEPT_PROBLEMS {
                self.problems
                    .push(format!("{:?}: {problem}", message.id.unwrap_or("no id")));
            }
        }
    }

    /// Distinct events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Gaps that were told of; a notice that is repeated counts once.
    #[must_use]
    pub fn distinct_gaps(&self) -> usize {
        let distinct: BTreeSet<String> = self.gaps.iter().map(Value::to_string).collect();
        distinct.len()
    }

    /// The most runs of repeats that a shard has seen. A crash makes one: what was in flight comes again, in its order,
    /// before anything new.
    #[must_use]
    pub fn repeat_runs(&self) -> u64 {
        self.runs.values().map(|runs| runs.count).max().unwrap_or(0)
    }

    /// Events in the longest of those runs.
    #[must_use]
    pub fn longest_repeat_run(&self) -> u64 {
        let longest = self.runs.values().map(|runs| runs.longest);
        longest.max().unwrap_or(0)
    }

    /// The first occurrence of an event.
    #[must_use]
    pub fn arrival(&self, session: &str, seq: u64) -> Option<&Arrival> {
        self.sessions.get(session)?.get(&seq)
    }

    fn record_event(&mut self, message: &Message<'_>) -> Result<(), String> {
        let text = std::str::from_utf8(message.body).map_err(|error| error.to_string())?;
        let body: Body<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let id = message.id.and_then(|id| id.rsplit_once(':'));
        let (session, seq) = id.ok_or("no message_id of the form session:seq")?;
        let wrong = [
            (seq != body.s.to_string(), "message_id and s differ"),
            (
                message.seq != Some(body.s.into()),
                "header seq and s differ",
            ),
            (message.shard.is_none(), "no header shard"),
            (message.routing_key != body.t, "routing key and t differ"),
            (message.kind != Some(&body.t), "type and t differ"),
            (
                message.content_type != Some("application/json"),
                "content type",
            ),
            (!message.persistent, "not persistent"),
            (body.op != 0, "op is not 0"),
        ];
        if let Some((_, problem)) = wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            return Err((*problem).to_owned());
        }
        let digest = digest::bytes(message.body);
        if !self.sessions.contains_key(session) {
            self.sessions.insert(session.to_owned(), HashMap::new());
        }
        let events = self.sessions.get_mut(session).ok_or("no session")?;
        if let Some(first) = events.get(&body.s) {
            let other_old = first.body != digest
                && first.name == body.t
                && message.shard == Some(first.shard)
                && first.data == digest::bytes(body.d.get().as_bytes());
            self.repeated_differing += u64::from(first.body != digest);
            self.repeated_other_old += u64::from(other_old);
            // A broker that repeats itself says so; it can't have changed the body.
            let by_broker = message.redelivered && first.body == digest;
            if by_broker {
                self.redelivered += 1;
            } else {
                self.repeated += 1;
                self.repeats.push(first.at);
                let runs = self.runs.entry(first.shard).or_default();
                runs.repeat(session, body.s);
            }
            return Ok(());
        }
        let keep = self.kept + text.len() <= KEPT_BYTES;
        self.kept += if keep { text.len() } else { 0 };
        events.insert(
            body.s,
            Arrival {
                order: self.events,
                at: Instant::now(),
                shard: message.shard.unwrap_or(-1),
                data: digest::bytes(body.d.get().as_bytes()),
                old: body.old.as_ref().map(digest::value),
                name: body.t,
                text: keep.then(|| text.into()),
                body: digest,
            },
        );
        self.events += 1;
        if let Some(runs) = message.shard.and_then(|shard| self.runs.get_mut(&shard)) {
            runs.current = None;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Records an event in the contract's format.
    pub(crate) fn arrive(ledger: &mut Ledger, shard: u32, session: &str, seq: u64, rest: &str) {
        let (name, rest) = rest.split_once(' ').unwrap();
        let body = format!(r#"{{"op":0,"s":{seq},"t":"{name}",{rest}}}"#);
        ledger.record(&Message {
            id: Some(&format!("{session}:{seq}")),
            routing_key: name,
            kind: Some(name),
            content_type: Some("application/json"),
            persistent: true,
            shard: Some(shard.into()),
            seq: Some(seq.into()),
            redelivered: false,
            body: body.as_bytes(),
        });
    }

    #[test]
    fn repeats_are_told_from_first_occurrences() {
        let mut ledger = Ledger::default();
        arrive(&mut ledger, 0, "a:b", 1, r#"X "d":{}"#);
        arrive(&mut ledger, 0, "a:b", 1, r#"X "d":{}"#);
        arrive(&mut ledger, 0, "a:b", 1, r#"X "d":{},"old":null"#);
        assert_eq!(
            (ledger.events(), ledger.repeated, ledger.repeated_differing),
            (1, 2, 1)
        );
        assert_eq!((ledger.repeated_other_old, ledger.repeats.len()), (1, 2));
        assert_eq!(ledger.arrival("a:b", 1).unwrap().name, "X");
        assert_eq!(ledger.malformed, 0);
    }

    #[test]
    fn a_batch_that_comes_again_is_one_run_of_its_shard() {
        let mut ledger = Ledger::default();
        let mut arrives = |shard, session: &str, seqs: &[u64]| {
            for seq in seqs {
                arrive(&mut ledger, shard, session, *seq, r#"X "d":{}"#);
            }
            (ledger.repeat_runs(), ledger.longest_repeat_run())
        };
        assert_eq!(arrives(0, "a", &[1, 2, 3, 4]), (0, 0));
        assert_eq!(arrives(0, "a", &[2, 3]), (1, 2));
        // Another shard's events don't end it, and a session's successor belongs to it.
        assert_eq!(arrives(1, "b", &[1, 1]), (1, 2));
        assert_eq!(arrives(0, "a", &[4]), (1, 3));
        assert_eq!(arrives(0, "c", &[1, 2]), (1, 3));
        assert_eq!(arrives(0, "a", &[4]), (2, 3));
        assert_eq!(arrives(0, "c", &[1, 2]), (2, 3));
        // Twice the same is one too many.
        assert_eq!(arrives(0, "c", &[1, 2]), (3, 3));
    }

    #[test]
    fn messages_that_break_the_format_are_counted_with_the_reason() {
        let mut ledger = Ledger::default();
        let message = Message {
            id: Some("a:1"),
            routing_key: "X",
            kind: Some("X"),
            content_type: None,
            persistent: true,
            shard: Some(0),
            seq: Some(1),
            redelivered: false,
            body: br#"{"op":0,"s":1,"t":"X","d":null}"#,
        };
        ledger.record(&message);
        ledger.record(&Message {
            id: None,
            ..message.clone()
        });
        ledger.record(&Message {
            body: b"no",
            ..message
        });
        assert_eq!((ledger.events(), ledger.malformed), (0, 3));
        assert!(ledger.problems[0].contains("content type"));
    }
}
