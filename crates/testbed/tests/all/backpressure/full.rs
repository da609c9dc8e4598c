//! A buffer that fills up, and what is seen of that.

use std::time::{Duration, Instant};

use testbed::collector::check::Tolerated;
use testbed::http;
use testbed::metrics::Metrics;
use testbed::process::Process;
use testbed::stack::Stack;
use testbed::wait;
use tokio::task::JoinHandle;

/// The smallest that is allowed.
pub(crate) const BUFFER_BYTES: u64 = 1_048_576;
/// After two of them without a heartbeat Discord closes the connection, and the session is over. A loaded machine may stop for
/// seconds.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(4);
/// How long RabbitMQ is away: twice as long as a session lives without heartbeats.
pub(crate) const OUTAGE: Duration = HEARTBEAT.saturating_mul(4);

/// Events a second.
pub(crate) const RATE: f64 = 1_500.0;
/// Longest time to fill the buffer, or for everything to arrive.
const LIMIT: Duration = Duration::from_secs(60);
/// Events whose arrival shows that they flow.
const WARM_UP: u64 = 500;
/// Time between two looks at the metrics, which are renewed every second.
const LOOK: Duration = Duration::from_millis(250);

/// What Discord's books say of the connections.
#[derive(Debug, PartialEq)]
pub(crate) struct Held {
    /// Sessions begun so far.
    pub(crate) sessions: u64,
    /// Connections made so far.
    connections: u64,
}

impl Held {
    pub(crate) fn of(stack: &Stack) -> Self {
        let counts = stack.sim.counts();
        Self {
            sessions: counts.identifies,
            connections: counts.connections,
        }
    }
}

pub(crate) async fn flowing(stack: &Stack) {
    let before = stack.collector.ledger().events();
    let flowing = async || stack.collector.ledger().events() > before + WARM_UP;
    wait::until("events to flow", LIMIT, flowing).await.unwrap();
}

/// Both shards have stopped reading, and everybody can see that.
pub(crate) async fn filled(stack: &Stack) {
    let full = async || {
        let metrics = stack.ingest.metrics().await.unwrap();
        value(&metrics, "ingest_full_shards") == f64::from(stack.shards)
    };
    wait::until("the buffer to be full", LIMIT, full)
        .await
        .unwrap();
    let ready = http::fetch(stack.ingest.port(), "/readyz").await.unwrap();
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.body.contains("buffer"), "{}", ready.body);
    let alive = http::fetch(stack.ingest.port(), "/livez").await.unwrap();
    assert_eq!(alive.status, 200);
}

/// The next frame is confirmed.
pub(crate) async fn begins_to_drain(ingest: &Process) {
    let confirmed = async || {
        let metrics = ingest.metrics().await.unwrap();
        value(&metrics, "ingest_frames_total")
    };
    let before = confirmed().await;
    let more = async || confirmed().await > before;
    wait::until("a confirm", LIMIT, more).await.unwrap();
}

/// For `time` no more is held than may be, and hardly anything is read.
pub(crate) async fn stays_within_bounds(stack: &Stack, time: Duration) {
    let before = stack.ingest.metrics().await.unwrap();
    let begin = Instant::now();
    let mut least = f64::MAX;
    while begin.elapsed() < time {
        let metrics = stack.ingest.metrics().await.unwrap();
        let held = value(&metrics, "ingest_buffer_bytes");
        assert!(held <= BUFFER_BYTES as f64, "{held} bytes are held");
        assert_eq!(
            value(&metrics, "ingest_full_shards"),
            f64::from(stack.shards)
        );
        least = least.min(held);
        tokio::time::sleep(LOOK).await;
    }
    assert!(least > BUFFER_BYTES as f64 * 0.85, "only {least} bytes");
    let after = stack.ingest.metrics().await.unwrap();
    let read = value(&after, "ingest_events_total") - value(&before, "ingest_events_total");
    // One for each heartbeat of each shard, and one more where the time began or ended in the middle.
    let beats = (time.as_secs_f64() / HEARTBEAT.as_secs_f64()).ceil() + 1.0;
    assert!(
        read <= beats * f64::from(stack.shards),
        "{read} events were read"
    );
}

/// The load ends, and everything that was sent arrives: in order, right, and once but for what was in flight at
/// `crashes` (a writer that loses RabbitMQ is one).
pub(crate) async fn drained(stack: &mut Stack, load: JoinHandle<u64>, crashes: u64) {
    stack.sim.stop_load();
    load.await.unwrap();
    let report = stack.check(LIMIT).await.unwrap();
    println!("{report}");
    let tolerated = Tolerated {
        crashes,
        ..Tolerated::default()
    };
    let faults = report.faults(tolerated);
    assert!(
        faults.is_empty(),
        "{faults:?}\n{report}\n{}",
        stack.log_tails(20)
    );
    assert_eq!(report.gaps, 0);
    assert_eq!(stack.sim.violations(), Vec::<String>::new());
    stack.ready().await.unwrap();
    let metrics = stack.ingest.metrics().await.unwrap();
    assert_eq!(value(&metrics, "ingest_full_shards"), 0.0);
}

fn value(metrics: &Metrics, name: &str) -> f64 {
    metrics.sum(name).unwrap_or_default()
}
