//! Compares what arrived with what was sent.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::digest;
use super::ledger::{Arrival, Ledger};

/// Samples that a report keeps of each kind of fault.
const SAMPLES: usize = 3;
/// Longest text of a sample, in characters.
const SAMPLE_LENGTH: usize = 600;

/// An event that was sent.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Session.
    pub session: String,
    /// Sequence in it.
    pub seq: u64,
    /// Event name.
    pub name: String,
    /// `d`, as sent.
    pub data: Arc<str>,
    /// `old` that an exact cache reports.
    pub old: Option<Value>,
    /// Whether nothing can be said about `old`: Redis lost its data together with who had just applied the event.
    pub old_unsure: bool,
    /// Whether it could reach us: what was never written to a socket, and can't be replayed any more, could not.
    pub deliverable: bool,
}

/// The result of a comparison. Everything but `events`, `redelivered` and `gaps` counts faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events that were sent and could be delivered.
    pub events: u64,
    /// Of those, events that never arrived.
    pub lost: u64,
    /// Deliveries of an event that had arrived before.
    pub repeated: u64,
    /// Of those, deliveries with another body.
    pub repeated_differing: u64,
    /// Of those, deliveries that differ in `old` alone.
    pub repeated_other_old: u64,
    /// The most runs of repeats that a shard has seen.
    pub repeat_runs: u64,
    /// Events in the longest of those runs.
    pub longest_repeat_run: u64,
    /// First occurrences behind one that was sent later on the same shard.
    pub misordered: u64,
    /// Events whose `old` is not what an exact cache reports.
    pub wrong_old: u64,
    /// Events whose name, shard or `d` is not what was sent.
    pub altered: u64,
    /// Messages that don't keep the contract's format.
    pub malformed: u64,
    /// Events that nobody sent.
    pub unexpected: u64,
    /// Keys of the cache that differ from the truth, are missing, or should not be there.
    pub cache_differences: u64,
    /// Deliveries that the broker repeated to the collector itself.
    pub redelivered: u64,
    /// Gap notices.
    pub gaps: u64,
    /// A few of each kind of fault, in words.
    pub samples: Vec<String>,
}

/// The most events that a writer takes in one batch.
const BATCH: u64 = 1_000;

/// Faults that a case's own nature brings with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tolerated {
    /// So often something crashed that may have had a batch in flight for every shard.
    pub crashes: u64,
    /// Repeats that differ in `old`: Redis lost its data together with who had just applied the events.
    pub repeats_other_old: bool,
}

impl Report {
    /// What is wrong beyond what is tolerated, one line for each kind; empty if nothing is.
    #[must_use]
    pub fn faults(&self, tolerated: Tolerated) -> Vec<String> {
        let counts = [
            (self.lost, "lost"),
            (
                if tolerated.crashes > 0 {
                    0
                } else {
                    self.repeated
                },
                "repeated",
            ),
            (
                self.repeat_runs.saturating_sub(tolerated.crashes),
                "runs of repeats on a shard beyond one for each crash",
            ),
            (
                self.longest_repeat_run.saturating_sub(BATCH),
                "events in a run of repeats beyond a batch",
            ),
            (
                if tolerated.repeats_other_old {
                    self.repeated_differing - self.repeated_other_old
                } else {
                    self.repeated_differing
                },
                "repeated with another body",
            ),
            (self.misordered, "misordered"),
            (self.wrong_old, "with wrong `old`"),
            (self.altered, "altered"),
            (self.malformed, "malformed"),
            (self.unexpected, "that nobody sent"),
            (self.cache_differences, "cache keys that differ"),
        ];
        let wrong = counts.iter().filter(|(count, _)| *count > 0);
        wrong
            .map(|(count, kind)| format!("{count} {kind}"))
            .collect()
    }

    /// All of it in words: what is wrong beyond what is tolerated, and what is.
    #[must_use]
    pub fn summary(&self, tolerated: Tolerated) -> String {
        let mut words = vec![format!("{} events", self.events)];
        if tolerated.crashes > 0 && self.repeated > 0 {
            words.push(format!("{} repeated, as crashes may", self.repeated));
        }
        let faults = self.faults(tolerated);
        if faults.is_empty() {
            words.push("all exact".to_owned());
        }
        words.extend(faults);
        let samples = self.samples.iter().map(|sample| format!("\n  {sample}"));
        words.join(", ") + &samples.collect::<String>()
    }

    pub(super) fn add_samples(&mut self, kind: &str, samples: impl IntoIterator<Item = String>) {
        for sample in samples.into_iter().take(SAMPLES) {
            let short: String = sample.chars().take(SAMPLE_LENGTH).collect();
            self.samples.push(format!("{kind}: {short}"));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary(Tolerated::default()))
    }
}

/// Compares the ledger with what was sent on each shard, in the order of sending.
#[must_use]
pub fn compare(ledger: &Ledger, sent: &BTreeMap<u32, Vec<Expected>>) -> Report {
    let mut report = Report {
        repeated: ledger.repeated,
        repeated_differing: ledger.repeated_differing,
        repeated_other_old: ledger.repeated_other_old,
        repeat_runs: ledger.repeat_runs(),
        longest_repeat_run: ledger.longest_repeat_run(),
        malformed: ledger.malformed,
        redelivered: ledger.redelivered,
        gaps: ledger.gaps.len() as u64,
        ..Report::default()
    };
    report.add_samples("malformed", ledger.problems.iter().cloned());
    let mut matched = 0;
    for (shard, events) in sent {
        let mut newest = None;
        for event in events {
            report.events += u64::from(event.deliverable);
            let Some(arrival) = ledger.arrival(&event.session, event.seq) else {
                note(
                    &mut report,
                    event.deliverable,
                    "lost",
                    |r| &mut r.lost,
                    || label(*shard, event),
                );
                continue;
            };
            matched += 1;
            let behind = newest.is_some_and(|newest| arrival.order < newest);
            newest = newest.max(Some(arrival.order));
            note(
                &mut report,
                behind,
                "misordered",
                |r| &mut r.misordered,
                || label(*shard, event),
            );
            let altered = arrival.name != event.name
                || arrival.shard != i128::from(*shard)
                || arrival.data != digest::bytes(event.data.as_bytes());
            note(
                &mut report,
                altered,
                "altered",
                |r| &mut r.altered,
                || {
                    format!(
                        "{}: {}, arrived {}",
                        label(*shard, event),
                        event.data,
                        text(arrival)
                    )
                },
            );
            let wrong_old =
                !event.old_unsure && arrival.old != event.old.as_ref().map(digest::value);
            note(
                &mut report,
                wrong_old,
                "old",
                |r| &mut r.wrong_old,
                || {
                    let old = event
                        .old
                        .as_ref()
                        .map_or("none".to_owned(), Value::to_string);
                    format!(
                        "{}: expected {old}, arrived {}",
                        label(*shard, event),
                        old_text(arrival)
                    )
                },
            );
        }
    }
    report.unexpected = ledger.events() - matched;
    report
}

fn note(
    report: &mut Report,
    happened: bool,
    kind: &str,
    count: impl Fn(&mut Report) -> &mut u64,
    sample: impl FnOnce() -> String,
) {
    if happened {
        *count(report) += 1;
        if *count(report) <= SAMPLES as u64 {
            report.add_samples(kind, [sample()]);
        }
    }
}

fn label(shard: u32, event: &Expected) -> String {
    format!(
        "shard {shard} {}:{} {}",
        event.session, event.seq, event.name
    )
}

fn text(arrival: &Arrival) -> &str {
    arrival.text.as_deref().unwrap_or("(body not kept)")
}

fn old_text(arrival: &Arrival) -> String {
    let body: Option<Value> = serde_json::from_str(text(arrival)).ok();
    let old = body.as_ref().and_then(|body| body.get("old"));
    old.map_or("none".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::ledger::tests::arrive;
    use super::*;

    fn sent(seq: u64, name: &str, data: &str, old: Option<Value>) -> Expected {
        Expected {
            session: "s".into(),
            seq,
            name: name.into(),
            data: data.into(),
            old,
            old_unsure: false,
            deliverable: true,
        }
    }

    #[test]
    fn an_exact_run_has_no_faults() {
        let mut ledger = Ledger::default();
        arrive(&mut ledger, 0, "s", 1, r#"X "d":{"a": 1}"#);
        arrive(&mut ledger, 0, "s", 2, r#"Y "d":null,"old":{"b":2,"a":1}"#);
        let old = Some(json!({"a": 1, "b": 2}));
        let events = vec![sent(1, "X", r#"{"a": 1}"#, None), sent(2, "Y", "null", old)];
        let report = compare(&ledger, &[(0, events)].into());
        assert_eq!(
            report,
            Report {
                events: 2,
                ..Report::default()
            }
        );
        assert!(report.faults(Tolerated::default()).is_empty());
    }

    #[test]
    fn each_fault_is_seen() {
        let mut ledger = Ledger::default();
        arrive(&mut ledger, 0, "s", 3, r#"X "d":3"#);
        arrive(&mut ledger, 0, "s", 2, r#"X "d":2,"old":1"#);
        arrive(&mut ledger, 0, "s", 2, r#"X "d":2,"old":1"#);
        arrive(&mut ledger, 1, "s", 5, r#"X "d":6"#);
        arrive(&mut ledger, 0, "t", 1, r#"X "d":1"#);
        let mut undeliverable = sent(4, "X", "4", None);
        undeliverable.deliverable = false;
        let events = vec![
            sent(1, "X", "1", None),
            sent(2, "X", "2", Some(json!(2))),
            sent(3, "X", "3", None),
            undeliverable,
            sent(5, "X", "5", None),
        ];
        let report = compare(&ledger, &[(0, events)].into());
        let expected = Report {
            events: 4,
            lost: 1,
            repeated: 1,
            repeat_runs: 1,
            longest_repeat_run: 1,
            misordered: 1,
            wrong_old: 1,
            altered: 1,
            unexpected: 1,
            samples: report.samples.clone(),
            ..Report::default()
        };
        assert_eq!(report, expected);
        assert_eq!(report.samples.len(), 4, "{:?}", report.samples);
        let lenient = Tolerated {
            crashes: 1,
            ..Tolerated::default()
        };
        assert_eq!(report.faults(Tolerated::default()).len(), 7);
        assert_eq!(report.faults(lenient).len(), 5);
    }
}
