//! Reads the `gateway` exchange and compares what arrived with what was sent.
//!
//! [`ledger`] keeps what arrived and [`check`] compares it, both without I/O; [`cache`] reads Redis; this module is the
//! consumer around them.

pub mod cache;
pub mod check;
pub mod digest;
pub mod ledger;
pub mod losses;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use dispatch_proto::namespace::Namespace;
use dispatch_proto::rabbit;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::queue::bound_to_all;
use crate::servers::rabbitmq_connection;
use check::{Expected, Report};
use ledger::{Ledger, Message};

/// The collector's queue, without its namespace. Durable, so that nothing is missed while the broker restarts.
pub const QUEUE: &str = "testbed.collector";
/// Messages that the broker hands over before it waits for an acknowledgement.
const PREFETCH: u16 = 1_000;
/// Longest time for an attempt: a broker that dies meanwhile may leave it without an answer.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(10);
/// Time between attempts to reach a broker that is away.
const RETRY: Duration = Duration::from_millis(100);

/// A consumer of every event, from its start until it is dropped.
#[derive(Debug)]
pub struct Collector {
    ledger: Arc<Mutex<Ledger>>,
    namespace: Namespace,
    task: JoinHandle<()>,
}

impl Collector {
    /// Declares the exchange and its queue, as the services would, and begins to read. To be called before the
    /// services start, or what they publish first is missed.
    ///
    /// # Errors
    ///
    /// If the broker can't be reached now; later it may come and go.
    pub async fn start(url: &str) -> Result<Self> {
        Self::start_within(url, Namespace::default()).await
    }

    /// As [`Self::start`], for services with a `NAMESPACE`.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn start_within(url: &str, namespace: Namespace) -> Result<Self> {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let first = subscribe(url, &namespace)
            .await
            .context("the collector can't subscribe")?;
        let collect = collect(url.to_owned(), namespace.clone(), first, ledger.clone());
        Ok(Self {
            ledger,
            namespace,
            task: tokio::spawn(collect),
        })
    }

    /// What has arrived so far. Hold it briefly: the consumer waits meanwhile.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Compares what arrived with what was sent, and the cache with the truth.
    ///
    /// # Errors
    ///
    /// If Redis can't be read.
    pub async fn check(
        &self,
        expected: &BTreeMap<u32, Vec<Expected>>,
        truth: &BTreeMap<String, Value>,
        redis: &mut MultiplexedConnection,
    ) -> Result<Report> {
        let cached = cache::read_within(redis, &self.namespace)
            .await
            .context("can't read the cache")?;
        let differences = cache::differences(truth, &cached);
        let mut report = check::compare(&self.ledger(), expected);
        report.cache_differences = differences.len() as u64;
        report.add_samples("cache", differences);
        Ok(report)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A subscription; the connection and channel live as long as it does.
struct Subscription {
    consumer: Consumer,
    _channel: Channel,
    _connection: Connection,
}

async fn subscribe(url: &str, namespace: &Namespace) -> Result<Subscription> {
    let queue = namespace.name(QUEUE);
    let connection = rabbitmq_connection(url, QUEUE).await?;
    let channel = connection.create_channel().await?;
    let exchange = namespace.name(rabbit::EVENTS_EXCHANGE);
    let none = FieldTable::default();
    bound_to_all(&channel, &queue, none.clone(), &exchange).await?;
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let options = BasicConsumeOptions::default();
    let consumer = channel
        .basic_consume((&*queue).into(), "".into(), options, none)
        .await?;
    Ok(Subscription {
        consumer,
        _channel: channel,
        _connection: connection,
    })
}

/// Reads for ever, through restarts of the broker. What was recorded and not yet acknowledged then comes again; the
/// broker marks it, and the ledger tells it from a repeat of the services'.
async fn collect(
    url: String,
    namespace: Namespace,
    first: Subscription,
    ledger: Arc<Mutex<Ledger>>,
) {
    let mut subscription = Some(first);
    loop {
        match subscription.take() {
            Some(subscription) => read(subscription, &ledger).await,
            None => tokio::time::sleep(RETRY).await,
        }
        let again = tokio::time::timeout(SUBSCRIBE_LIMIT, subscribe(&url, &namespace)).await;
        subscription = again.ok().and_then(Result::ok);
    }
}

/// Reads until the connection dies. Acknowledges whatever was ready at once with one frame.
async fn read(subscription: Subscription, ledger: &Mutex<Ledger>) {
    let Subscription {
        consumer,
        _channel,
        _connection,
    } = subscription;
    let mut ready = consumer.ready_chunks(usize::from(PREFETCH) / 4);
    while let Some(deliveries) = ready.next().await {
        let deliveries: Vec<Delivery> = deliveries.into_iter().map_while(Result::ok).collect();
        let Some(last) = deliveries.last() else {
            return;
        };
        {
            let mut ledger = lock(ledger);
            deliveries
                .iter()
                .for_each(|delivery| ledger.record(&message(delivery)));
        }
        if last.ack(BasicAckOptions { multiple: true }).await.is_err() {
            return;
        }
    }
}

fn message(delivery: &Delivery) -> Message<'_> {
    let properties = &delivery.properties;
    let header = |name: &str| {
        let headers = properties.headers().as_ref()?;
        headers.inner().get(name).and_then(integer)
    };
    Message {
        id: properties.message_id().as_ref().map(|id| id.as_str()),
        routing_key: delivery.routing_key.as_str(),
        kind: properties.kind().as_ref().map(|kind| kind.as_str()),
        content_type: properties.content_type().as_ref().map(|kind| kind.as_str()),
        persistent: *properties.delivery_mode() == Some(2),
        shard: header(rabbit::HEADER_SHARD),
        seq: header(rabbit::HEADER_SEQ),
        redelivered: delivery.redelivered,
        body: &delivery.data,
    }
}

/// Any of AMQP's integer types: clients differ in which they take for a number.
fn integer(value: &AMQPValue) -> Option<i128> {
    Some(match *value {
        AMQPValue::ShortShortInt(n) => n.into(),
        AMQPValue::ShortShortUInt(n) => n.into(),
        AMQPValue::ShortInt(n) => n.into(),
        AMQPValue::ShortUInt(n) => n.into(),
        AMQPValue::LongInt(n) => n.into(),
        AMQPValue::LongUInt(n) => n.into(),
        AMQPValue::LongLongInt(n) => n.into(),
        _ => return None,
    })
}
