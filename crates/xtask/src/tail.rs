//! `cargo xtask tail`: prints enriched events as they pass.

mod changes;
mod render;

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use dispatch_proto::namespace::Namespace;
use dispatch_proto::rabbit;
use futures_util::StreamExt;
use lapin::options::QueueBindOptions;
use lapin::types::FieldTable;
use lapin::{Connection, Consumer};

use crate::broker::{Broker, own_queue};
use crate::duration;
use crate::stop::Stop;
use render::Style;

/// Prints the enriched events of a running stack as they pass, with what changed between `old` and `d`.
///
/// Reads from a queue of its own, which goes when it ends: it takes nothing away from other consumers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names of the events to print (MESSAGE_UPDATE …); all if none is given.
    events: Vec<String>,
    /// Stop after this many events.
    #[arg(long)]
    limit: Option<usize>,
    /// Stop after this time: 30s, 10m, 2h.
    #[arg(long = "for", value_parser = duration::parse)]
    time: Option<Duration>,
    #[command(flatten)]
    broker: Broker,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let mut stop = Stop::new()?;
    let (connection, namespace) = args.broker.connect().await?;
    let events = subscribe(&connection, &namespace, &args.events).await?;
    let style = if stdout().is_terminal() {
        Style::Colour
    } else {
        Style::Plain
    };
    let time = async {
        match args.time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        printed = print(events, args.limit.unwrap_or(usize::MAX), style) => printed?,
        () = time => {}
        () = stop.requested() => {}
    }
    // The queue goes with the connection, whether or not the broker answers to this.
    let _ = connection.close(200, "done".into()).await;
    Ok(ExitCode::SUCCESS)
}

async fn subscribe(
    connection: &Connection,
    namespace: &Namespace,
    events: &[String],
) -> Result<Consumer> {
    let channel = connection.create_channel().await?;
    let (name, consumer) = own_queue(&channel).await?;
    let everything = ["#".to_owned()];
    for event in if events.is_empty() {
        &everything
    } else {
        events
    } {
        let exchange = namespace.name(rabbit::EVENTS_EXCHANGE);
        let (exchange, key) = ((&*exchange).into(), event.as_str().into());
        let bind = QueueBindOptions::default();
        channel
            .queue_bind(name.clone(), exchange, key, bind, FieldTable::default())
            .await
            .context("can't bind to the exchange `gateway`: has a cache-writer run here?")?;
    }
    Ok(consumer)
}

async fn print(mut events: Consumer, limit: usize, style: Style) -> Result<()> {
    let mut printed = 0;
    while printed < limit {
        let delivery = events.next().await.context("RabbitMQ has gone")??;
        let text = render::event(&delivery.data, style);
        if writeln!(stdout(), "{text}").is_err() {
            // The reader has had enough (`| head`).
            break;
        }
        printed += 1;
    }
    Ok(())
}
