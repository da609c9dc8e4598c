//! The figures of a run, and their arithmetic.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::usage::Usage;

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
}

impl Latency {
    /// Of latencies in microseconds; none if there are none.
    pub(super) fn of(mut micros: Vec<u64>) -> Option<Self> {
        micros.sort_unstable();
        let at = |share: f64| {
            // The smallest that so many are not above.
            let rank = (share * micros.len() as f64).ceil() as usize;
            let micros = micros.get(rank.max(1) - 1)?;
            Some(*micros as f64 / 1_000.0)
        };
        Some(Self {
            p50: at(0.5)?,
            p99: at(0.99)?,
            p999: at(0.999)?,
        })
    }
}

/// What a process took in a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cost {
    /// CPU time for each event, in microseconds.
    pub(super) cpu_us: f64,
    /// Most memory resident, in bytes.
    pub(super) peak_rss: u64,
}

/// What a run is about, beside its speed and cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) value: f64,
    pub(super) unit: String,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) events: u64,
    pub(super) seconds: f64,
    pub(super) latency: Option<Latency>,
    pub(super) processes: BTreeMap<String, Cost>,
    #[serde(default)]
    pub(super) figures: Vec<Figure>,
}

impl Row {
    pub(super) fn new(
        name: &str,
        events: u64,
        took: Duration,
        usages: BTreeMap<&'static str, Usage>,
    ) -> Self {
        let cost = |usage: Usage| Cost {
            cpu_us: usage.cpu.as_secs_f64() * 1e6 / events.max(1) as f64,
            peak_rss: usage.peak_rss,
        };
        Self {
            name: name.to_owned(),
            events,
            seconds: took.as_secs_f64(),
            latency: None,
            processes: usages
                .into_iter()
                .map(|(name, usage)| (name.to_owned(), cost(usage)))
                .collect(),
            figures: Vec::new(),
        }
    }

    /// Adds a figure of its own.
    pub(super) fn add(&mut self, what: &str, value: f64, unit: &str) {
        self.figures.push(Figure {
            what: what.to_owned(),
            value,
            unit: unit.to_owned(),
        });
    }

    /// Adds what each process had of the cores.
    pub(super) fn add_shares(&mut self) {
        let share = |(name, cost): (&String, &Cost)| {
            let share = cost.cpu_us * self.rate() / 1e4;
            (format!("CPU, {name}"), share)
        };
        let shares: Vec<_> = self.processes.iter().map(share).collect();
        for (what, share) in shares {
            self.add(&what, share, "% of a core");
        }
    }

    pub(super) fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    /// CPU time for each event of these processes together; none if none of them ran.
    pub(super) fn cpu_us(&self, processes: &[&str]) -> Option<f64> {
        let costs = processes
            .iter()
            .filter_map(|name| self.processes.get(*name));
        costs.map(|cost| cost.cpu_us).reduce(|a, b| a + b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_occurred() {
        let latency = Latency::of((1..=1_000).rev().map(|n| n * 1_000).collect()).unwrap();
        assert_eq!(
            (latency.p50, latency.p99, latency.p999),
            (500.0, 990.0, 999.0)
        );
        let latency = Latency::of(vec![7]).unwrap();
        assert_eq!((latency.p50, latency.p999), (0.007, 0.007));
        assert_eq!(Latency::of(Vec::new()), None);
    }

    #[test]
    fn costs_are_counted_for_each_event() {
        let usage = |millis| Usage {
            cpu: Duration::from_millis(millis),
            peak_rss: 5,
        };
        let usages = [("a", usage(10)), ("b", usage(30))].into();
        let row = Row::new("x", 1_000, Duration::from_secs(2), usages);
        assert_eq!(row.rate(), 500.0);
        assert_eq!(row.cpu_us(&["a", "b", "c"]), Some(40.0));
        assert_eq!(row.cpu_us(&["c"]), None);
        assert_eq!(row.processes["a"].peak_rss, 5);
        let mut row = row;
        row.add_shares();
        let share = |at: usize| (row.figures[at].what.as_str(), row.figures[at].value);
        assert_eq!([share(0), share(1)], [("CPU, a", 0.5), ("CPU, b", 1.5)]);
    }
}
