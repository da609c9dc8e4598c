//! The broker of a running stack, or of a deployment.

use anyhow::{Context, Result};
use lapin::{Connection, ConnectionProperties};

use crate::running::Running;

/// Which broker.
#[derive(Debug, clap::Args)]
pub(crate) struct Broker {
    /// Where RabbitMQ is; left out: that of the running `cargo xtask up`, else RABBIT_URL.
    #[arg(long)]
    url: Option<String>,
}

impl Broker {
    /// Connects to it.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let address = self.address()?;
        let connection = Connection::connect(&address, ConnectionProperties::default());
        connection.await.context("can't connect to RabbitMQ")
    }

    fn address(&self) -> Result<String> {
        if let Some(url) = &self.url {
            return Ok(url.clone());
        }
        let running = Running::find().map(|running| running.rabbit_url);
        running.or_else(|error| std::env::var("RABBIT_URL").map_err(|_| error))
    }
}
