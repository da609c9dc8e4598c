//! The broker of a running stack, or of a deployment.

use anyhow::{Context, Result};
use dispatch_proto::namespace::Namespace;
use lapin::{Connection, ConnectionProperties};

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
