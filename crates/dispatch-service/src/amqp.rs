//! The link to RabbitMQ.
//!
//! Each service owns its reconnect loop: what was in flight on a connection that died belongs to the service to repeat, and
//! only it knows how. So the client's automatic recovery stays off.

mod answer;
mod deadline;
mod publish;

use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties, uri::AMQPUri};
use tokio_util::sync::CancellationToken;

pub use answer::{Answer, reply_encoding};
pub use deadline::deadline;
pub use publish::{DeadLetter, Message, PublishError, Publisher, told_if_slow};

use crate::{
    backoff,
    health::Condition,
    settings::{
        Reader,
        catalogue::{RABBIT_HOST, RABBIT_PASSWORD, RABBIT_PORT, RABBIT_URL, RABBIT_USERNAME},
    },
};

/// Seconds between heartbeats if the URL names none. A frozen peer is noticed after two: soon enough that its partitions and
/// shards move on within half a minute, late enough for a loaded machine.
const HEARTBEAT_SECONDS: u16 = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where RabbitMQ is.
#[derive(Clone, Debug)]
pub struct AmqpLink {
    uri: AMQPUri,
}

impl AmqpLink {
    /// Reads `RABBIT_URL`, else `RABBIT_HOST`, `RABBIT_PORT`, `RABBIT_USERNAME` and `RABBIT_PASSWORD`.
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let mut uri = AMQPUri::default();
        uri.authority.host = reader.text(&RABBIT_HOST);
        uri.authority.port = reader.number(&RABBIT_PORT, 1..);
        uri.authority.userinfo.username = reader.text(&RABBIT_USERNAME);
        uri.authority.userinfo.password = reader.text(&RABBIT_PASSWORD);
        uri.vhost = "/".to_owned();
        if reader.optional(&RABBIT_URL).is_some() {
            uri = reader.checked(&RABBIT_URL, |url| url.parse().ok())?;
        }
        if uri.vhost.is_empty() {
            // `amqp://host/` names the empty vhost by the letter of the specification; nearly every client, and whoever
            // writes it, means the default one.
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Some(Self { uri })
    }

    /// Connects once. `name` is shown by RabbitMQ's management pages.
    ///
    /// # Errors
    ///
    /// If RabbitMQ can't be reached within 10 s or refuses the user.
    pub async fn connect(&self, name: &str) -> lapin::Result<Connection> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connect = Connection::connect_uri(self.uri.clone(), properties);
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(connection) => connection,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }

    /// Connects, again and again until it works; `None` if `stop` comes first.
    pub async fn connect_until(
        &self,
        name: &str,
        connected: &Condition,
        stop: &CancellationToken,
    ) -> Option<Connection> {
        let connect = || self.connect(name);
        backoff::connect_until("rabbitmq", connected, stop, connect).await
    }
}

/// Closes a channel, giving back what it holds unacknowledged in order. Errors don't matter: a dead channel is closed.
///
/// Closing is the one way to let go of a consumer that keeps the order: after a cancel the next consumer may start while
/// this one still holds deliveries (measured: out of order on quorum queues always, on classic ones at times).
pub async fn close_channel(channel: &Channel) {
    let _ = channel.close(200, "handing over".into()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(settings: &[(&str, &str)]) -> AMQPUri {
        let mut reader = Reader::of(settings.iter().copied());
        let link = AmqpLink::read(&mut reader);
        reader.finish().unwrap();
        link.unwrap().uri
    }

    #[test]
    fn a_url_wins_over_the_parts() {
        let uri = link(&[
            ("RABBIT_HOST", "a"),
            ("RABBIT_URL", "amqp://u:p@b:1/v?heartbeat=3"),
        ]);
        assert_eq!(
            (uri.authority.host.as_str(), uri.vhost.as_str()),
            ("b", "v")
        );
        assert_eq!(uri.query.heartbeat, Some(3));
        let uri = link(&[("RABBIT_HOST", "a"), ("RABBIT_PORT", "9")]);
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("a", 9));
        assert_eq!(uri.query.heartbeat, Some(HEARTBEAT_SECONDS));
    }

    #[test]
    fn no_vhost_is_the_default_one() {
        for url in [
            "amqp://b",
            "amqp://b:5672",
            "amqp://b:5672/",
            "amqp://b/%2f",
        ] {
            assert_eq!(link(&[("RABBIT_URL", url)]).vhost, "/", "{url}");
        }
    }
}
