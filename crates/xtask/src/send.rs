//! `cargo xtask send`: one command to the bot's gateway, and what is answered.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use dispatch_proto::rabbit;
use futures_util::StreamExt;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Consumer};
use serde_json::Value;

use crate::broker::{Broker, own_queue};
use crate::duration;
use crate::terminal::print;

/// Sends a command and prints the reply; exit code 1 if it was rejected.
///
/// For example `cargo xtask send '{"op":3,"shard":0}'` asks for a shard's status.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command, as JSON.
    command: String,
    /// How long to wait for the reply.
    #[arg(long = "for", value_parser = duration::parse, default_value = "10s")]
    limit: Duration,
    #[command(flatten)]
    broker: Broker,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let (connection, namespace) = args.broker.connect().await?;
    let channel = connection.create_channel().await?;
    let (reply_to, replies) = own_queue(&channel).await?;
    // As it was given: what the router makes of a command that is no JSON is its business.
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_reply_to(reply_to);
    channel
        .basic_publish(
            "".into(),
            (&*namespace.name(rabbit::SEND_QUEUE)).into(),
            BasicPublishOptions::default(),
            args.command.as_bytes(),
            properties,
        )
        .await?;
    let reply = tokio::time::timeout(args.limit, reply(replies)).await;
    let reply = reply.context("no reply: does a command-router run here, and the shard?")??;
    let _ = connection.close(200, "done".into()).await;
    print(&format!("{reply:#}"));
    Ok(if accepted(&reply) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn reply(mut replies: Consumer) -> Result<Value> {
    let delivery = replies.next().await.context("RabbitMQ has gone")??;
    serde_json::from_slice(&delivery.data).context("the reply is not JSON")
}

fn accepted(reply: &Value) -> bool {
    reply.get("ok") == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_reply_that_says_so_is_a_success() {
        assert!(accepted(&json!({"ok": true, "shard": 0})));
        assert!(!accepted(&json!({"ok": false, "error": "no such shard"})));
        assert!(!accepted(&json!({})));
    }
}
