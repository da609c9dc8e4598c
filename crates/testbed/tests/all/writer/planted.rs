//! A writer of one partition, with frames and Redis data that a test puts there itself.

use std::collections::BTreeMap;
use std::time::Duration;

use dispatch_proto::frame::FrameBuilder;
use dispatch_proto::redis::{PartitionKeys, shard_field};
use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::{BasicProperties, Channel, Connection};
use redis::aio::MultiplexedConnection;
use testbed::binaries::Service;
use testbed::process::Process;
use testbed::proxy::Proxy;
use testbed::servers::{Persistence, Servers, rabbitmq_connection};
use testbed::stack::settings;
use testbed::wait;

pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const EVENTS: &str = "gateway.recv";

pub(crate) struct Planted {
    pub(crate) writer: Process,
    pub(crate) channel: Channel,
    pub(crate) redis: MultiplexedConnection,
    pub(crate) keys: PartitionKeys,
    /// Between the writer and Redis.
    pub(crate) proxy: Proxy,
    _connection: Connection,
    pub(crate) servers: Servers,
}

impl Planted {
    pub(crate) async fn start() -> Self {
        let servers = Servers::start(Persistence::None).await.unwrap();
        let proxy = Proxy::start(servers.redis.port()).await.unwrap();
        let mut env = settings::links(&servers.rabbitmq.url(), &proxy.redis_url());
        let own = [
            ("PARTITIONS", "1"),
            ("DEFAULT_QUEUE", "true"),
            ("RUST_LOG", "info"),
        ];
        let own: BTreeMap<_, _> = own.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        env.extend(own);
        let name = "cache-writer-0";
        let mut writer = Process::start(Service::CacheWriter, name, servers.dir(), &env).unwrap();
        writer.ready(LIMIT).await.unwrap();
        // After it has declared the queues.
        let declared = async || writer.log_tail(50).contains("connected to rabbitmq");
        wait::until("the queues", LIMIT, declared).await.unwrap();
        let connection = rabbitmq_connection(&servers.rabbitmq.url(), "planted")
            .await
            .unwrap();
        Self {
            writer,
            channel: connection.create_channel().await.unwrap(),
            redis: servers.redis.connection().await.unwrap(),
            keys: PartitionKeys::new(0),
            proxy,
            _connection: connection,
            servers,
        }
    }

    /// Puts a frame of session `s` with these sequences and names into the partition's queue.
    pub(crate) async fn frame(&self, events: &[(u64, &str)]) {
        let mut frame = FrameBuilder::new(0, 1, "s");
        for (sequence, name) in events {
            let payload = format!(r#"{{"t":"{name}","s":{sequence},"op":0,"d":{{}}}}"#);
            frame.push(*sequence, 0, payload.as_bytes());
        }
        self.put(&frame.finish()).await;
    }

    /// Puts a body into the partition's queue.
    pub(crate) async fn put(&self, body: &[u8]) {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        self.channel
            .basic_publish("gateway.raw".into(), "0".into(), options, body, properties)
            .await
            .unwrap();
    }

    /// The sequence of the next event that was published.
    pub(crate) async fn next(&self) -> u64 {
        let id = self.take(EVENTS).await;
        id.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// The `message_id` of the next message of a queue.
    pub(crate) async fn take(&self, queue: &str) -> String {
        let mut id = None;
        let got = wait::until("a message", LIMIT, async || {
            let options = BasicGetOptions { no_ack: true };
            let got = self.channel.basic_get(queue.into(), options).await.unwrap();
            id = got.map(|got| {
                let id = got.delivery.properties.message_id().as_ref();
                id.map(ToString::to_string).unwrap_or_default()
            });
            id.is_some()
        });
        if let Err(error) = got.await {
            panic!("{queue}: {error}\n{}", self.writer.log_tail(20));
        }
        id.unwrap()
    }

    /// Messages that are ready in a queue.
    pub(crate) async fn depth(&self, queue: &str) -> u32 {
        let queues = [queue.to_owned()];
        self.servers.rabbitmq.queue_depths(&queues).await.unwrap()[queue]
    }

    /// Waits until a metric of the writer is at least that.
    pub(crate) async fn metric(&self, name: &str, least: f64) {
        let reached = wait::until(name, LIMIT, async || {
            let metrics = self.writer.metrics().await;
            metrics.is_ok_and(|metrics| metrics.sum(name) >= Some(least))
        });
        if let Err(error) = reached.await {
            panic!("{error}\n{}", self.writer.log_tail(20));
        }
    }

    /// Waits until the writer has logged a text so often.
    pub(crate) async fn logged(&self, text: &str, times: usize) {
        let logged = wait::until(text, LIMIT, async || {
            self.writer.log_tail(10_000).matches(text).count() >= times
        });
        if let Err(error) = logged.await {
            panic!("{error}\n{}", self.writer.log_tail(20));
        }
    }

    /// Puts what is applied and the journal as a predecessor of the version before would have left it: applied up to `last`, with
    /// this journal.
    pub(crate) async fn leave(&mut self, last: u64, journal: &str) {
        let applied = format!(r#"[["s",{last}]]"#);
        redis::pipe()
            .hset(&self.keys.applied_by_number, 0, applied)
            .set(&self.keys.journal, journal)
            .exec_async(&mut self.redis)
            .await
            .unwrap();
    }

    pub(crate) async fn journal(&mut self) -> Option<String> {
        redis::cmd("GET")
            .arg(&self.keys.journal)
            .query_async(&mut self.redis)
            .await
            .unwrap()
    }

    /// What is applied of shard 0, which the version before finds as well.
    pub(crate) async fn applied(&mut self) -> Option<String> {
        let mut pipe = redis::pipe();
        pipe.hget(&self.keys.applied, shard_field(1, 0));
        pipe.hget(&self.keys.applied_by_number, 0);
        let (applied, by_number) = pipe.query_async(&mut self.redis).await.unwrap();
        assert_eq!(applied, by_number);
        applied
    }

    /// Transactions that have come to their end at Redis, refused or not.
    pub(crate) async fn transactions(&mut self) -> u64 {
        let info: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut self.redis)
            .await
            .unwrap();
        let calls = info
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_exec:calls="));
        calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
    }
}

/// A journal that lists these events of session `s`.
pub(crate) fn journal(sequences: &[u64]) -> String {
    let entries: Vec<_> = sequences
        .iter()
        .map(|sequence| format!(r#"["s",{sequence},{{"of":{sequence}}},null]"#))
        .collect();
    let events = entries.join(",");
    format!(r#"{{"version":2,"batch":"planted/1","events":[{events}]}}"#)
}
