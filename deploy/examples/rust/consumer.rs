//! Prints what deleted and edited messages said before, and asks shard 0 for its status.
//!
//! In this repository: `RABBIT_URL=amqp://guest:guest@127.0.0.1/%2f cargo run -p testbed --example consumer`.
//! In a project of your own: `cargo add futures-util lapin@4 serde_json` and `cargo add tokio --features full`.

use std::{
    collections::{HashSet, VecDeque},
    error::Error,
    time::Duration,
};

use futures_util::StreamExt as _;
use lapin::{BasicProperties, Channel, Connection, options::*};
use serde_json::{Value, json};

const QUEUE: &str = "example-rust";
const EVENTS: [&str; 2] = ["MESSAGE_UPDATE", "MESSAGE_DELETE"];

/// Ids of the last messages that were handled: after a crash a few come again, under the same id.
#[derive(Default)]
struct Handled {
    order: VecDeque<String>,
    ids: HashSet<String>,
}

impl Handled {
    fn add(&mut self, id: &str) {
        self.ids.insert(id.to_owned());
        self.order.push_back(id.to_owned());
        if self.order.len() > 10_000
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// Sends a command and returns Dispatch's reply.
async fn send(connection: &Connection, command: &Value) -> Result<Value, Box<dyn Error>> {
    let channel = connection.create_channel().await?;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..Default::default()
    };
    let replies = channel
        .queue_declare("".into(), exclusive, Default::default())
        .await?;
    let no_ack = BasicConsumeOptions {
        no_ack: true,
        ..Default::default()
    };
    let mut answers = channel
        .basic_consume(
            replies.name().clone(),
            "".into(),
            no_ack,
            Default::default(),
        )
        .await?;
    let properties = BasicProperties::default()
        .with_reply_to(replies.name().clone())
        .with_correlation_id("1".into());
    let body = command.to_string();
    channel
        .basic_publish(
            "".into(),
            "gateway.send".into(),
            Default::default(),
            body.as_bytes(),
            properties,
        )
        .await?;
    let answer = tokio::time::timeout(Duration::from_secs(10), answers.next()).await?;
    let reply = serde_json::from_slice(&answer.ok_or("no reply")??.data)?;
    channel.close(200, "done".into()).await?;
    Ok(reply)
}

fn handle(event: &Value) {
    if let Some(old) = event.get("old") {
        println!(
            "{} {} was: {}",
            event["t"], event["d"]["id"], old["content"]
        );
    }
}

async fn subscribe(channel: &Channel) -> lapin::Result<lapin::Consumer> {
    channel.basic_qos(100, Default::default()).await?;
    let durable = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel
        .queue_declare(QUEUE.into(), durable, Default::default())
        .await?;
    for name in EVENTS {
        channel
            .queue_bind(
                QUEUE.into(),
                "gateway".into(),
                name.into(),
                Default::default(),
                Default::default(),
            )
            .await?;
    }
    channel
        .basic_consume(
            QUEUE.into(),
            "".into(),
            Default::default(),
            Default::default(),
        )
        .await
}

async fn consume(url: &str, handled: &mut Handled) -> Result<(), Box<dyn Error>> {
    let connection = Connection::connect(url, Default::default()).await?;
    let channel = connection.create_channel().await?;
    let mut messages = subscribe(&channel).await?;
    println!(
        "status: {}",
        send(&connection, &json!({"op": 3, "shard": 0})).await?
    );
    while let Some(message) = messages.next().await.transpose()? {
        let id = message
            .properties
            .message_id()
            .as_ref()
            .map_or("", |id| id.as_str());
        if !handled.ids.contains(id) {
            handle(&serde_json::from_slice(&message.data)?);
            handled.add(id);
        }
        // After the work, so that a crash loses nothing.
        message.ack(BasicAckOptions::default()).await?;
    }
    Err("the connection ended".into())
}

#[tokio::main]
async fn main() {
    let default = || "amqp://guest:guest@127.0.0.1/%2f".to_owned();
    let url = std::env::var("RABBIT_URL").unwrap_or_else(|_| default());
    let mut handled = Handled::default();
    loop {
        if let Err(error) = consume(&url, &mut handled).await {
            eprintln!("{error}; reconnecting");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
