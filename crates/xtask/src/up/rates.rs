//! What happened between two samples.

use std::collections::BTreeMap;

use testbed::metrics::Metrics;

use super::sample::Sample;

/// Per second, and means.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// Events received from Discord.
    pub(super) received: f64,
    /// Events published.
    pub(super) published: f64,
    /// Published by event name, the most frequent first.
    pub(super) by_name: Vec<(String, f64)>,
    /// Mean time from Discord's socket to RabbitMQ's confirm of the published event, in milliseconds.
    pub(super) latency_ms: Option<f64>,
}

impl Rates {
    pub(super) fn between(before: &Sample, now: &Sample) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64().max(0.001);
        let growth = |before: Option<f64>, now: Option<f64>| {
            // A restarted process counts from 0 again.
            (now.unwrap_or_default() - before.unwrap_or_default()).max(0.0)
        };
        let grown = |before: &Metrics, now: &Metrics, name| growth(before.sum(name), now.sum(name));
        let names = |sample: &Sample| sample.writers.by("gateway_events", "type");
        let (names_before, names_now) = (names(before), names(now));
        let events = grown(
            &before.writers,
            &now.writers,
            "writer_latency_seconds_count",
        );
        let waited = grown(&before.writers, &now.writers, "writer_latency_seconds_sum");
        Self {
            received: grown(&before.ingest, &now.ingest, "ingest_events_total") / seconds,
            published: grown(&before.writers, &now.writers, "gateway_events") / seconds,
            by_name: most_frequent(&names_before, names_now, seconds),
            latency_ms: (events > 0.0).then(|| waited / events * 1000.0),
        }
    }
}

fn most_frequent(
    before: &BTreeMap<String, f64>,
    now: BTreeMap<String, f64>,
    seconds: f64,
) -> Vec<(String, f64)> {
    let rate = |(name, count): (String, f64)| {
        let grown = count - before.get(&name).copied().unwrap_or_default();
        (name, grown.max(0.0) / seconds)
    };
    let mut rates: Vec<_> = now
        .into_iter()
        .map(rate)
        .filter(|(_, rate)| *rate > 0.0)
        .collect();
    rates.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    rates
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn rates_are_differences_per_second() {
        let at = Instant::now();
        let sample = |after, ingest: &str, writers: &str| Sample {
            at: at + Duration::from_secs(after),
            ingest: Metrics::parse(ingest),
            owned: Vec::new(),
            writers: Metrics::parse(writers),
            shards: Vec::new(),
            lag: None,
            dead: None,
        };
        let before = sample(
            0,
            "ingest_events_total 10\n",
            "gateway_events{type=\"A\"} 5\n",
        );
        let now = sample(
            2,
            "ingest_events_total 30\n",
            "gateway_events{type=\"A\"} 9\ngateway_events{type=\"B\"} 10\n\
             writer_latency_seconds_sum 0.5\nwriter_latency_seconds_count 10\n",
        );
        assert_eq!(
            Rates::between(&before, &now),
            Rates {
                received: 10.0,
                published: 7.0,
                by_name: vec![("B".to_owned(), 5.0), ("A".to_owned(), 2.0)],
                latency_ms: Some(50.0),
            }
        );
    }
}
