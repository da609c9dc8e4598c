//! `cargo xtask dead`: what could not be processed.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use dispatch_proto::rabbit::{DEAD_QUEUE, HEADER_REASON, HEADER_SOURCE};
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};

use crate::broker::Broker;
use crate::terminal::{cut, lines, print};

/// Letters that are looked at: the oldest ones.
const LOOKED_AT: usize = 1_000;
/// Characters of a body in the list.
const SHOWN: usize = 60;

/// Dead letters: what could not be processed, in the queue `gateway.dead`. Looking at them leaves them there.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    broker: Broker,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum Command {
    /// One line for each, the oldest first (the default).
    List,
    /// One of them, whole: headers and body.
    Show {
        /// Its number in the list.
        number: usize,
    },
    /// Sends a rejected command to the queue it came from once more, and takes it out of the dead letters.
    ///
    /// Events can't be sent again: their place in the order is gone.
    Resend {
        /// Its number in the list.
        number: usize,
    },
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let (connection, namespace) = args.broker.connect().await?;
    let channel = connection.create_channel().await?;
    let letters = letters(&channel, &namespace.name(DEAD_QUEUE)).await?;
    match args.command.unwrap_or(Command::List) {
        Command::List => list(&letters),
        Command::Show { number } => show(numbered(&letters, number)?),
        Command::Resend { number } => resend(&channel, numbered(&letters, number)?).await?,
    }
    // What is not acknowledged goes back to its place in the queue.
    let _ = connection.close(200, "done".into()).await;
    Ok(ExitCode::SUCCESS)
}

async fn letters(channel: &Channel, queue: &str) -> Result<Vec<BasicGetMessage>> {
    let mut letters = Vec::new();
    while letters.len() < LOOKED_AT {
        let get = channel.basic_get(queue.into(), BasicGetOptions::default());
        let letter = get
            .await
            .with_context(|| format!("can't read {queue}: has a service run here?"))?;
        match letter {
            Some(letter) => letters.push(letter),
            None => break,
        }
    }
    Ok(letters)
}

fn list(letters: &[BasicGetMessage]) {
    for (n, letter) in letters.iter().enumerate() {
        let (source, reason) = origin(&letter.delivery.properties);
        let body = String::from_utf8_lossy(&letter.delivery.data);
        print(&format!(
            "{:>4}  {source:<16} {reason}: {}",
            n + 1,
            cut(&body, SHOWN)
        ));
    }
    match letters.len() {
        0 => print("No dead letters."),
        LOOKED_AT => print(&format!("These are the oldest {LOOKED_AT}.")),
        _ => {}
    }
}

fn show(letter: &BasicGetMessage) {
    let properties = &letter.delivery.properties;
    let headers = properties.headers().clone().unwrap_or_default();
    for (name, value) in &headers {
        print(&format!("{name}: {}", text(value)));
    }
    if let Some(content_type) = properties.content_type() {
        print(&format!("content type: {content_type}"));
    }
    print(&format!("{} bytes:", letter.delivery.data.len()));
    print(&lines(&String::from_utf8_lossy(&letter.delivery.data)));
}

/// Confirmed where it goes before it leaves the dead letters.
async fn resend(channel: &Channel, letter: &BasicGetMessage) -> Result<()> {
    let properties = &letter.delivery.properties;
    let (source, _) = origin(properties);
    if !takes_commands(&source) {
        bail!("only commands can be sent again; this one came from {source}");
    }
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let queue = source.as_str().into();
    let properties = without_origin(properties);
    let publish =
        channel.basic_publish("".into(), queue, options, &letter.delivery.data, properties);
    match publish.await?.await? {
        Confirmation::Ack(None) => {}
        _ => bail!("RabbitMQ does not take it: does the queue {source} exist?"),
    }
    letter.delivery.ack(BasicAckOptions::default()).await?;
    print(&format!("Sent to {source}."));
    Ok(())
}

fn numbered(letters: &[BasicGetMessage], number: usize) -> Result<&BasicGetMessage> {
    let letter = number.checked_sub(1).and_then(|index| letters.get(index));
    letter.with_context(|| format!("there is no number {number} among {}", letters.len()))
}

/// Where it came from, and why it was rejected.
fn origin(properties: &BasicProperties) -> (String, String) {
    let header = |name| {
        let headers = properties.headers().as_ref();
        headers
            .and_then(|headers| headers.inner().get(name))
            .map_or("?".to_owned(), text)
    };
    (header(HEADER_SOURCE), header(HEADER_REASON))
}

fn without_origin(properties: &BasicProperties) -> BasicProperties {
    let headers = properties.headers().clone().unwrap_or_default();
    let mut kept = FieldTable::default();
    for (name, value) in &headers {
        if ![HEADER_SOURCE, HEADER_REASON].contains(&name.as_str()) {
            kept.insert(name.clone(), value.clone());
        }
    }
    properties.clone().with_headers(kept)
}

/// `gateway.send`, `gateway:<shard>`, and those of Spectacles, `<exchange>:SEND` among them; but not the raw queues nor a service's name.
fn takes_commands(source: &str) -> bool {
    source.ends_with(dispatch_proto::rabbit::SEND_QUEUE)
        || source
            .rsplit_once(':')
            .is_some_and(|(_, rest)| rest == "SEND" || rest.parse::<u32>().is_ok())
}

fn text(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_go_back_to_their_queue_and_events_do_not() {
        for (source, expected) in [
            ("gateway.send", true),
            ("gateway:12", true),
            ("music:gateway.send", true),
            ("spectacles:SEND", true),
            ("spectacles:3", true),
            ("gateway.raw.3", false),
            ("gateway-ingest", false),
            ("?", false),
        ] {
            assert_eq!(takes_commands(source), expected, "{source}");
        }
    }

    #[test]
    fn what_made_it_a_dead_letter_is_taken_off() {
        let mut headers = FieldTable::default();
        for (name, value) in [("reason", "no"), ("source", "gateway.send"), ("mine", "1")] {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let properties = BasicProperties::default().with_headers(headers);
        assert_eq!(origin(&properties), ("gateway.send".into(), "no".into()));
        let kept = without_origin(&properties);
        let names: Vec<_> = (kept.headers().as_ref().unwrap().into_iter())
            .map(|(name, _)| name.as_str().to_owned())
            .collect();
        assert_eq!(names, ["mine"]);
    }
}
