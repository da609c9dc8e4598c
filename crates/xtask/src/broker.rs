//! The broker of a running stack, or of a deployment.

use anyhow::{Context, Result};
use dispatch_proto::namespace::Namespace;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, Consumer};

use crate::running::place;

/// Which broker.
#[derive(Debug, clap::Args)]
pub(crate) struct Broker {
    /// Where RabbitMQ is; left out: that of the running `cargo xtask up`, else RABBIT_URL.
    #[arg(long)]
    url: Option<String>,
}

impl Broker {
    /// Connects to it; and what stands before every name there.
    pub(crate) async fn connect(self) -> Result<(Connection, Namespace)> {
        let (url, namespace) = place(self.url, "RABBIT_URL", |running| running.rabbit_url)?;
        let connection = Connection::connect(&url, ConnectionProperties::default());
        Ok((
            connection.await.context("can't connect to RabbitMQ")?,
            namespace,
        ))
    }
}

/// A queue of one's own, which goes with the connection, and what comes in by it: without acknowledgements, since what nobody saw is
/// not worth keeping.
pub(crate) async fn own_queue(channel: &Channel) -> lapin::Result<(ShortString, Consumer)> {
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let none = FieldTable::default();
    let queue = channel
        .queue_declare("".into(), options, none.clone())
        .await?;
    let name = queue.name().clone();
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let consumer = channel
        .basic_consume(name.clone(), "".into(), options, none)
        .await?;
    Ok((name, consumer))
}
