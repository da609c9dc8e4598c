//! The consumer at the end of every run, bare or not: it counts, and notes when what arrived.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use dispatch_service::clock::unix_micros;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use testbed::wait;
use tokio::task::JoinHandle;

/// Messages that the broker hands over before it waits for an acknowledgement.
const PREFETCH: u16 = 1_000;
/// Bodies that are kept as samples, for the bare publisher.
const SAMPLES: usize = 5_000;

/// Reads a queue until it is dropped.
#[derive(Debug)]
pub(super) struct Counter {
    state: Arc<State>,
    task: JoinHandle<()>,
    _connection: Connection,
}

#[derive(Debug, Default)]
struct State {
    messages: AtomicU64,
    received: Mutex<Received>,
}

#[derive(Debug, Default)]
struct Received {
    /// By session: the last sequence.
    sessions: HashMap<String, u64>,
    misordered: u64,
    /// Arrivals, while they are noted: session, sequence, when it was sent if the message says so, and when it came.
    arrivals: Option<Vec<Arrival>>,
    samples: Option<Vec<Vec<u8>>>,
}

/// A message that arrived while that was noted.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) session: String,
    pub(super) sequence: u64,
    /// The message's own timestamp, in microseconds.
    pub(super) sent_us: Option<u64>,
    pub(super) at_us: u64,
}

impl Counter {
    /// Consumes the queue.
    pub(super) async fn start(url: &str, queue: &str) -> Result<Self> {
        let state = Arc::new(State::default());
        Self::consume(url, queue, state).await
    }

    /// Consumes the queue on a new connection, and goes on counting.
    pub(super) async fn reconnect(&mut self, url: &str, queue: &str) -> Result<()> {
        self.task.abort();
        *self = Self::consume(url, queue, Arc::clone(&self.state)).await?;
        Ok(())
    }

    async fn consume(url: &str, queue: &str, state: Arc<State>) -> Result<Self> {
        let connection = testbed::servers::rabbitmq_connection(url, "bench consumer").await?;
        let channel = connection.create_channel().await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let consumer = channel
            .basic_consume(
                queue.into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        let task = tokio::spawn(read(consumer, channel, Arc::clone(&state)));
        Ok(Self {
            state,
            task,
            _connection: connection,
        })
    }

    /// Messages so far.
    pub(super) fn messages(&self) -> u64 {
        self.state.messages.load(Ordering::Relaxed)
    }

    /// Waits until something more than so many messages has arrived.
    pub(super) async fn more_than(&self, messages: u64, limit: Duration) -> Result<Instant> {
        let deadline = Instant::now() + limit;
        while self.messages() <= messages {
            if Instant::now() > deadline {
                bail!("nothing arrives");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Instant::now())
    }

    /// Waits until each of these sessions has come to its sequence.
    pub(super) async fn reached(&self, targets: &[(String, u64)], limit: Duration) -> Result<()> {
        let reached = || {
            let received = self.state.received();
            let is_there = |(session, sequence): &(String, u64)| {
                received
                    .sessions
                    .get(session)
                    .is_some_and(|last| last >= sequence)
            };
            targets.iter().all(is_there)
        };
        let waited = wait::until("the last event", limit, async || reached()).await;
        waited.context("not everything has arrived").map(drop)
    }

    /// Messages that came behind one with a higher sequence.
    pub(super) fn misordered(&self) -> u64 {
        self.state.received().misordered
    }

    /// Begins to note arrivals.
    pub(super) fn note(&self) {
        self.state.received().arrivals = Some(Vec::new());
    }

    /// Ends it.
    pub(super) fn noted(&self) -> Vec<Arrival> {
        self.state.received().arrivals.take().unwrap_or_default()
    }

    /// Begins to keep bodies, up to a number.
    pub(super) fn sample(&self) {
        self.state.received().samples = Some(Vec::new());
    }

    /// Ends it.
    pub(super) fn samples(&self) -> Vec<Vec<u8>> {
        self.state.received().samples.take().unwrap_or_default()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Acknowledges whatever was ready at once with one frame.
async fn read(consumer: Consumer, _channel: Channel, state: Arc<State>) {
    let mut ready = consumer.ready_chunks(usize::from(PREFETCH) / 4);
    while let Some(deliveries) = ready.next().await {
        let deliveries: Vec<Delivery> = deliveries.into_iter().map_while(Result::ok).collect();
        let Some(last) = deliveries.last() else {
            return;
        };
        let at_us = unix_micros();
        {
            let mut received = state.received();
            deliveries
                .iter()
                .for_each(|delivery| received.record(delivery, at_us));
        }
        state
            .messages
            .fetch_add(deliveries.len() as u64, Ordering::Relaxed);
        if last.ack(BasicAckOptions { multiple: true }).await.is_err() {
            return;
        }
    }
}

impl Received {
    fn record(&mut self, delivery: &Delivery, at_us: u64) {
        let id = delivery.properties.message_id().as_ref();
        let Some((session, sequence)) = id.and_then(|id| event(id.as_str())) else {
            return;
        };
        self.count(session, sequence);
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.push(Arrival {
                session: session.to_owned(),
                sequence,
                sent_us: *delivery.properties.timestamp(),
                at_us,
            });
        }
        if let Some(samples) = &mut self.samples
            && samples.len() < SAMPLES
        {
            samples.push(delivery.data.clone());
        }
    }

    fn count(&mut self, session: &str, sequence: u64) {
        match self.sessions.get_mut(session) {
            Some(last) if sequence <= *last => self.misordered += 1,
            Some(last) => *last = sequence,
            None => {
                self.sessions.insert(session.to_owned(), sequence);
            }
        }
    }
}

/// Session and sequence of a `message_id`; none for a gap notice's.
fn event(id: &str) -> Option<(&str, u64)> {
    let (session, sequence) = id.rsplit_once(':')?;
    Some((session, sequence.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_by_its_message_id() {
        assert_eq!(event("a:b:7"), Some(("a:b", 7)));
        assert_eq!(event("a:7:gap"), None);
    }

    #[test]
    fn order_is_that_of_each_session() {
        let mut received = Received::default();
        for (session, sequence) in [("a", 1), ("b", 1), ("a", 3), ("a", 2), ("a", 4), ("b", 1)] {
            received.count(session, sequence);
        }
        assert_eq!(received.misordered, 2);
        assert_eq!(received.sessions["a"], 4);
    }
}
