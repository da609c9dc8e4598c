//! The metrics of a service: their catalogue, and the Prometheus recorder.
//!
//! A service declares what it exports with [`catalogue!`](crate::catalogue), and counts through that. So nothing is exported that
//! the documents do not list, and every counter is there from the start: `increase` does not see the first step of one that appears
//! with it.

use std::{collections::BTreeSet, time::Duration};

pub use metrics::{Counter, Histogram, Unit};
use metrics::{Gauge, Key, KeyName, Level, Metadata, SharedString, with_recorder};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Serialize, Serializer};

/// Upper bounds in seconds for histograms whose name ends in `_seconds`: from a loopback round trip to a slow failover.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Upper bounds for histograms whose name ends in `_events`: sizes of batches and frames.
const EVENTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// Where the samples come from, for recorders that filter: ours does not.
const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// Label values that are known only once they occur, such as a shard's number.
pub const OPEN: &[&str] = &[];

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down; 0 at the start.
    Gauge,
    /// A gauge that is not exported before it has been measured, because 0 would say something else.
    #[serde(rename = "gauge")]
    Measured,
    /// Counts by size.
    Histogram,
}

/// A label of a metric.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Label {
    /// Name of the label.
    pub name: &'static str,
    /// All its values, or [`OPEN`].
    pub values: &'static [&'static str],
}

/// A metric's description.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Metric {
    /// Name on `/metrics`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What one is, unless it is one of what the name says.
    #[serde(serialize_with = "unit_name")]
    pub unit: Option<Unit>,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it says, as a sentence without a full stop.
    pub meaning: &'static str,
}

fn unit_name<S: Serializer>(unit: &Option<Unit>, serializer: S) -> Result<S::Ok, S::Error> {
    unit.map(|unit| unit.as_str()).serialize(serializer)
}

impl Metric {
    /// The counter without labels.
    pub fn counter(&self) -> Counter {
        self.counter_of::<&'static str, 0>([])
    }

    /// The counter with these label values, in the order of the labels.
    pub fn counter_of<V: Into<SharedString>, const N: usize>(&self, values: [V; N]) -> Counter {
        let key = self.key(values);
        with_recorder(|recorder| recorder.register_counter(&key, &METADATA))
    }

    /// The gauge without labels.
    pub fn gauge(&self) -> Gauge {
        self.gauge_of::<&'static str, 0>([])
    }

    /// The gauge with these label values, in the order of the labels.
    pub fn gauge_of<V: Into<SharedString>, const N: usize>(&self, values: [V; N]) -> Gauge {
        let key = self.key(values);
        with_recorder(|recorder| recorder.register_gauge(&key, &METADATA))
    }

    /// The histogram without labels.
    pub fn histogram(&self) -> Histogram {
        self.histogram_of::<&'static str, 0>([])
    }

    /// The histogram with these label values, in the order of the labels.
    pub fn histogram_of<V: Into<SharedString>, const N: usize>(&self, values: [V; N]) -> Histogram {
        let key = self.key(values);
        with_recorder(|recorder| recorder.register_histogram(&key, &METADATA))
    }

    fn key<V: Into<SharedString>, const N: usize>(&self, values: [V; N]) -> Key {
        if N == 0 {
            return Key::from_static_name(self.name);
        }
        let labels = self.labels.iter().zip(values);
        let labels: Vec<_> = labels
            .map(|(label, value)| {
                let value = value.into();
                debug_assert!(
                    label.values.is_empty() || label.values.contains(&&*value),
                    "{} lacks {value} for {}",
                    self.name,
                    label.name
                );
                metrics::Label::new(label.name, value)
            })
            .collect();
        Key::from_parts(self.name, labels)
    }

    /// Describes it to the recorder, and exports what is known of it already: zeros.
    fn register(&self) {
        let name = KeyName::from_const_str(self.name);
        let meaning = SharedString::const_str(self.meaning);
        with_recorder(|recorder| match self.kind {
            Kind::Counter => recorder.describe_counter(name, self.unit, meaning),
            Kind::Gauge | Kind::Measured => recorder.describe_gauge(name, self.unit, meaning),
            Kind::Histogram => recorder.describe_histogram(name, self.unit, meaning),
        });
        match self.labels {
            [] => self.export_zero::<0>([]),
            [label] => {
                for value in label.values {
                    self.export_zero([*value]);
                }
            }
            // More than one: shards are among them.
            _ => {}
        }
    }

    fn export_zero<const N: usize>(&self, values: [&'static str; N]) {
        match self.kind {
            Kind::Counter => self.counter_of(values).absolute(0),
            Kind::Gauge => self.gauge_of(values).set(0.0),
            Kind::Histogram => drop(self.histogram_of(values)),
            Kind::Measured => {}
        }
    }
}

/// Declares metrics: a constant for each, and a list of them all, whose visibility and name come first.
///
/// `NAME = kind "name_on_metrics" {"label": VALUES, …} unit, "meaning";` where kind is one of `counter`, `gauge`, `measured` and
/// `histogram`, and labels and unit may be left out.
#[macro_export]
macro_rules! catalogue {
    ($visible:vis $all:ident: $($id:ident = $kind:ident $name:literal $({$($label:literal: $values:expr),+ $(,)?})? $($unit:ident)?, $meaning:expr;)*) => {
        $(
            #[doc = concat!("`", $name, "`.")]
            pub(crate) const $id: $crate::metrics::Metric = $crate::metrics::Metric {
                name: $name,
                kind: $crate::catalogue!(@kind $kind),
                unit: $crate::catalogue!(@unit $($unit)?),
                labels: &[$($($crate::metrics::Label { name: $label, values: $values }),+)?],
                meaning: $meaning,
            };
        )*
        /// All of them, in the order of the documents.
        $visible const $all: &[$crate::metrics::Metric] = &[$($id),*];
    };
    (@kind counter) => { $crate::metrics::Kind::Counter };
    (@kind gauge) => { $crate::metrics::Kind::Gauge };
    (@kind measured) => { $crate::metrics::Kind::Measured };
    (@kind histogram) => { $crate::metrics::Kind::Histogram };
    (@unit) => { ::core::option::Option::None };
    (@unit seconds) => { ::core::option::Option::Some($crate::metrics::Unit::Seconds) };
    (@unit milliseconds) => { ::core::option::Option::Some($crate::metrics::Unit::Milliseconds) };
    (@unit bytes) => { ::core::option::Option::Some($crate::metrics::Unit::Bytes) };
}

/// Installs the process's recorder, with these metrics.
///
/// # Errors
///
/// If a recorder is installed already.
pub(crate) fn install(
    metrics: impl Iterator<Item = &'static Metric>,
) -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_events".to_owned()), EVENTS)?
        .install_recorder()?;
    metrics.for_each(Metric::register);
    Ok(handle)
}

/// Value of a gauge whose labels name something that is gone: no series with just these labels is shown.
pub const GONE: f64 = f64::NAN;

/// The text for Prometheus, without what is [`GONE`]: the recorder itself forgets nothing.
pub(crate) fn render(handle: &PrometheusHandle) -> String {
    without_gone(handle.render())
}

fn without_gone(text: String) -> String {
    let gone: BTreeSet<&str> = (text.lines())
        .filter(|line| line.ends_with(" NaN"))
        .filter_map(labels_of)
        .collect();
    if gone.is_empty() {
        return text;
    }
    let kept = text
        .lines()
        .filter(|line| labels_of(line).is_none_or(|of| !gone.contains(of)));
    kept.flat_map(|line| [line, "\n"]).collect()
}

fn labels_of(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('{')?;
    rest.split_once('}').map(|(labels, _)| labels)
}

/// Keeps the recorder's memory bounded; to be run for as long as the process lives.
pub(crate) async fn upkeep(handle: PrometheusHandle) {
    let mut interval = tokio::time::interval(Duration::from_secs(5));
    loop {
        interval.tick().await;
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_shown_under_no_name() {
        let text = "# TYPE a gauge\na{shard=\"1\"} NaN\na{shard=\"2\"} 7\n\
                    b{shard=\"1\"} 3\nb{shard=\"1\",of=\"x\"} 3\nc 1\n";
        let shown = "# TYPE a gauge\na{shard=\"2\"} 7\nb{shard=\"1\",of=\"x\"} 3\nc 1\n";
        assert_eq!(without_gone(text.to_owned()), shown);
        assert_eq!(without_gone(shown.to_owned()), shown);
    }
}
