//! The Prometheus recorder that all services install.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::redis_link;

/// Upper bounds in seconds for histograms whose name ends in `_seconds`: from a loopback round trip to a slow failover.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Upper bounds for histograms whose name ends in `_events`: sizes of batches and frames.
const EVENTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// Installs the process's recorder.
///
/// # Errors
///
/// If a recorder is installed already.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_events".to_owned()), EVENTS)?
        .install_recorder()?;
    metrics::describe_counter!(
        "rabbitmq_slow_confirms_total",
        "Times that RabbitMQ had not confirmed a publication for another 10 s"
    );
    redis_link::describe();
    Ok(handle)
}

/// Keeps the recorder's memory bounded; to be run for as long as the process lives.
pub(crate) async fn upkeep(handle: PrometheusHandle) {
    let mut interval = tokio::time::interval(Duration::from_secs(5));
    loop {
        interval.tick().await;
        handle.run_upkeep();
    }
}
