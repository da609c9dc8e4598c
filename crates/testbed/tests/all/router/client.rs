//! Servers, routers, and a client that publishes commands and reads what becomes of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dispatch_proto::rabbit::{DEAD_QUEUE, HEADER_REASON, SEND_QUEUE, shard_queue};
use lapin::message::Delivery;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use redis::AsyncCommands;
use serde_json::{Value, json};
use testbed::binaries::Service;
use testbed::process::Process;
use testbed::servers::{Persistence, Servers, queue_depths, rabbitmq_connection};
use testbed::stack::settings;
use testbed::wait;

/// Longest wait for anything, on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// Servers and routers. All are killed when dropped.
pub(crate) struct Bench {
    pub(crate) routers: Vec<Process>,
    pub(crate) client: Client,
    pub(crate) servers: Servers,
    pub(crate) env: BTreeMap<String, String>,
}

/// A connection to RabbitMQ with one channel, in confirm mode.
pub(crate) struct Client {
    pub(crate) channel: Channel,
    pub(crate) connection: Connection,
}

impl Bench {
    /// Servers with no router yet.
    pub(crate) async fn new(env: &[(&str, &str)]) -> Self {
        let servers = Servers::start(Persistence::None).await.unwrap();
        let url = servers.rabbitmq.url();
        let mut settings = settings::links(&url, &servers.redis.url());
        let given = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        settings.extend(given);
        Self {
            routers: Vec::new(),
            client: Client::connect(&url).await,
            servers,
            env: settings,
        }
    }

    /// One router, ready, that knows of `shards` shards.
    pub(crate) async fn start(shards: u32, env: &[(&str, &str)]) -> Self {
        let mut bench = Self::new(env).await;
        bench.set_shards(shards).await;
        bench.add_router();
        bench.routers[0].ready(LIMIT).await.unwrap();
        bench
    }

    pub(crate) fn add_router(&mut self) {
        let name = format!("command-router-{}", self.routers.len());
        let dir = self.servers.dir();
        let router = Process::start(Service::CommandRouter, &name, dir, &self.env);
        self.routers.push(router.unwrap());
    }

    pub(crate) async fn set_shards(&self, shards: u32) {
        let mut redis = self.servers.redis.connection().await.unwrap();
        redis
            .set::<_, _, ()>("gateway_shards", shards)
            .await
            .unwrap();
    }

    /// How many routers are the active one.
    pub(crate) async fn active(&mut self) -> usize {
        let mut active = 0;
        for router in &self.routers {
            if let Ok(metrics) = router.metrics().await {
                active += metrics.sum("command_router_active").unwrap_or(0.0) as usize;
            }
        }
        active
    }

    /// A metric of the first router.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let metrics = self.routers[0].metrics().await.unwrap();
        metrics.sum(name).unwrap_or(0.0)
    }

    /// What `/readyz` of the first router says.
    pub(crate) async fn readyz(&self) -> (u16, String) {
        let answer = testbed::http::fetch(self.routers[0].port(), "/readyz")
            .await
            .unwrap();
        (answer.status, answer.body)
    }

    /// Waits for a condition; the log of the routers if it doesn't come.
    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFnMut() -> bool) -> Duration {
        let waited = wait::until(what, LIMIT, condition).await;
        waited.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }

    pub(crate) fn logs(&self) -> String {
        let logs: Vec<_> = self
            .routers
            .iter()
            .map(|router| router.log_tail(30))
            .collect();
        logs.join("\n")
    }

    /// The numbers in a shard's queue, as soon as there are so many.
    pub(crate) async fn arrived(&self, shard: u32, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        let what = format!("{count} commands in gateway:{shard}");
        let queue = [shard_queue(shard)];
        self.until(&what, async || {
            // Taking from a queue that isn't there closes the channel.
            let depths = queue_depths(&self.client.connection, &queue).await.unwrap();
            for _ in 0..depths.get(&queue[0]).copied().unwrap_or(0) {
                if let Some(message) = self.client.take(&queue[0]).await {
                    numbers.push(number(&message.data));
                }
            }
            numbers.len() >= count
        })
        .await;
        numbers
    }

    /// Reasons of dead letters, as soon as there are so many, with how long that took.
    pub(crate) async fn dead_letters(&self, count: usize) -> (Vec<String>, Duration) {
        let (mut reasons, began) = (Vec::new(), Instant::now());
        self.until(&format!("{count} dead letters"), async || {
            while let Some(message) = self.client.take(DEAD_QUEUE).await {
                reasons.push(header(&message, HEADER_REASON));
            }
            reasons.len() >= count
        })
        .await;
        (reasons, began.elapsed())
    }

    /// All routers end when they are asked to.
    pub(crate) async fn stop(mut self) {
        for router in &mut self.routers {
            router.stop(testbed::stack::STOP_LIMIT).await.unwrap();
        }
    }
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Self {
        let connection = rabbitmq_connection(url, "client").await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let confirms = ConfirmSelectOptions::default();
        channel.confirm_select(confirms).await.unwrap();
        Self {
            channel,
            connection,
        }
    }

    pub(crate) async fn publish(&self, queue: &str, properties: BasicProperties, body: &[u8]) {
        let confirm = self.send(queue, properties, body).await;
        confirmed(confirm).await;
    }

    pub(crate) async fn send(
        &self,
        queue: &str,
        properties: BasicProperties,
        body: &[u8],
    ) -> PublisherConfirm {
        let mandatory = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = properties.with_delivery_mode(2);
        let sent = self
            .channel
            .basic_publish("".into(), queue.into(), mandatory, body, properties);
        sent.await.unwrap()
    }

    /// Publishes numbered commands for a shard, all of them at once.
    pub(crate) async fn commands(&self, shard: u32, numbers: impl IntoIterator<Item = u64>) {
        let mut confirms = Vec::new();
        for number in numbers {
            let body = command(shard, number).to_string();
            confirms.push(
                self.send(SEND_QUEUE, BasicProperties::default(), body.as_bytes())
                    .await,
            );
        }
        for confirm in confirms {
            confirmed(confirm).await;
        }
    }

    pub(crate) async fn take(&self, queue: &str) -> Option<Delivery> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(queue.into(), options).await.unwrap();
        got.map(|got| got.delivery)
    }

    pub(crate) async fn declare(&self, queue: &str, arguments: &[(&str, AMQPValue)]) {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let declared = self.channel.queue_declare(queue.into(), durable, table);
        declared.await.unwrap();
    }

    /// A queue that refuses every message: it holds one and has room for no more.
    pub(crate) async fn full(&self, queue: &str) {
        let reject = AMQPValue::LongString("reject-publish".into());
        let arguments = [
            ("x-max-length", AMQPValue::LongInt(1)),
            ("x-overflow", reject),
            ("x-queue-type", AMQPValue::LongString("classic".into())),
        ];
        self.declare(queue, &arguments).await;
        self.publish(queue, BasicProperties::default(), b"filler")
            .await;
    }
}

async fn confirmed(confirm: PublisherConfirm) {
    let confirmation = confirm.await.unwrap();
    assert!(
        matches!(confirmation, Confirmation::Ack(None)),
        "{confirmation:?}"
    );
}

/// A command with a number to know it by.
pub(crate) fn command(shard: u32, number: u64) -> Value {
    json!({"op": 0, "shard": shard, "data": {"op": 3, "d": {
        "since": null,
        "activities": [{"name": number.to_string(), "type": 0}],
        "status": "online",
        "afk": false,
    }}})
}

/// The number of a command, or of its packet.
pub(crate) fn number(body: &[u8]) -> u64 {
    let body: Value = serde_json::from_slice(body).unwrap();
    let packet = body.get("data").unwrap_or(&body);
    let name = packet.pointer("/d/activities/0/name").unwrap();
    name.as_str().unwrap().parse().unwrap()
}

pub(crate) fn header(message: &Delivery, name: &str) -> String {
    let headers = message.properties.headers().clone().unwrap_or_default();
    match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => format!("{other:?}"),
    }
}
