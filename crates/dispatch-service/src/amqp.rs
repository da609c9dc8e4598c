//! The link to RabbitMQ.
//!
//! Each service owns its reconnect loop: what was in flight on a connection that died belongs to the service to repeat, and
//! only it knows how. So the client's automatic recovery stays off.

mod answer;
mod deadline;
mod publish;

use std::{fmt, io, time::Duration};

use lapin::{
    Channel, Connection, ConnectionProperties, ErrorKind,
    protocol::{AMQPErrorKind, AMQPSoftError},
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use answer::{Answer, reply_encoding};
pub use deadline::deadline;
pub(crate) use publish::METRICS;
pub use publish::{DeadLetter, Message, PublishError, Publisher, acknowledge_up_to, told_if_slow};

use crate::{
    backoff,
    health::Condition,
    settings::{
        Reader,
        address::{self, looks_encoded},
        catalogue::{RABBIT_HOST, RABBIT_PASSWORD, RABBIT_PORT, RABBIT_URL, RABBIT_USERNAME},
    },
    tls::Tls,
};

/// Seconds between heartbeats if the URL names none. RabbitMQ gives up a peer of which it has heard nothing in two to three of them:
/// what a frozen process holds moves on within 15 s. Shorter ones take a loaded machine for a dead one.
const HEARTBEAT_SECONDS: u16 = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where RabbitMQ is.
#[derive(Clone)]
pub struct AmqpLink {
    uri: AMQPUri,
    tls: Tls,
    channels: u16,
    /// The password comes from `RABBIT_PASSWORD` and looks percent-encoded, as twilight-dispatch needed it.
    encoded: bool,
}

/// Without the password.
impl fmt::Debug for AmqpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpLink")
            .field("host", &self.uri.authority.host)
            .field("port", &self.uri.authority.port)
            .field("vhost", &self.uri.vhost)
            .finish_non_exhaustive()
    }
}

impl AmqpLink {
    /// Reads `RABBIT_URL`, else `RABBIT_HOST`, `RABBIT_PORT`, `RABBIT_USERNAME` and `RABBIT_PASSWORD`.
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let tls = Tls::read(reader);
        let port = reader.number(&RABBIT_PORT, 1..);
        let username = reader.text(&RABBIT_USERNAME);
        let password = reader.whole_text(&RABBIT_PASSWORD);
        let by_url = reader.optional(&RABBIT_URL).is_some();
        let encoded = !by_url && looks_encoded(&password);
        let mut uri = if by_url {
            reader.checked(&RABBIT_URL, parse)?
        } else {
            let host = reader.host(&RABBIT_HOST)?;
            AMQPUri {
                authority: AMQPAuthority {
                    userinfo: AMQPUserInfo { username, password },
                    host,
                    port,
                },
                ..AMQPUri::default()
            }
        };
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Some(Self {
            uri,
            tls,
            channels: 0,
            encoded,
        })
    }

    /// Refuses a broker that allows fewer channels on a connection than this.
    #[must_use]
    pub fn needing_channels(mut self, channels: usize) -> Self {
        self.channels = u16::try_from(channels).unwrap_or(u16::MAX);
        self
    }

    /// Connects once. `name` is shown by RabbitMQ's management pages.
    ///
    /// # Errors
    ///
    /// If RabbitMQ can't be reached within 10 s, refuses the user, or allows too few channels.
    pub async fn connect(&self, name: &str) -> lapin::Result<Connection> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connect = Connection::connect_uri_with_config(
            self.uri.clone(),
            properties,
            self.tls.amqp(),
            lapin::runtime::default_runtime()?,
        );
        let connection = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(connection) => connection.inspect_err(|error| self.advise(error))?,
            Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        };
        // 0 is no limit.
        let allowed = connection.configuration().channel_max();
        if allowed != 0 && allowed < self.channels {
            let reason = format!(
                "rabbitmq allows {allowed} channels on a connection, and {} are needed: raise channel_max in its configuration \
                 (and in RABBIT_URL, if it is set there), or give this process fewer shards or partitions",
                self.channels
            );
            let _ = connection.close(200, "too few channels".into()).await;
            return Err(io::Error::other(reason).into());
        }
        Ok(connection)
    }

    /// Says what may help with a refused login.
    fn advise(&self, error: &lapin::Error) {
        let ErrorKind::ProtocolError(refusal) = error.kind() else {
            return;
        };
        if *refusal.kind() == AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) && self.encoded {
            tracing::warn!(
                "RABBIT_PASSWORD looks percent-encoded, as twilight-dispatch needed it; here it is taken as it is: write it without %.."
            );
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

/// The client's own parser reads an address in brackets as no host, and no host as localhost.
fn parse(text: &str) -> Option<AMQPUri> {
    let (url, host) = address::url(text, &["amqp", "amqps"])?;
    if url.fragment().is_some() {
        return None;
    }
    let scheme = match url.scheme() {
        "amqps" => AMQPScheme::AMQPS,
        _ => AMQPScheme::AMQP,
    };
    let mut userinfo = AMQPUserInfo::default();
    if !url.username().is_empty() {
        userinfo.username = address::decoded(url.username())?;
    }
    if let Some(password) = url.password() {
        userinfo.password = address::decoded(password)?;
    }
    // `amqp://host/` names the empty vhost by the letter of the specification; nearly every client, and whoever writes it,
    // means the default one.
    let path = url.path();
    let vhost = match path.strip_prefix('/').unwrap_or(path) {
        "" => "/".to_owned(),
        vhost => address::decoded(vhost)?,
    };
    Some(AMQPUri {
        authority: AMQPAuthority {
            userinfo,
            host,
            port: url.port().unwrap_or_else(|| scheme.default_port()),
        },
        scheme,
        vhost,
        query: query(&url)?,
    })
}

fn query(url: &Url) -> Option<AMQPQueryString> {
    let mut query = AMQPQueryString::default();
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "heartbeat" => query.heartbeat = Some(value.parse().ok()?),
            "channel_max" => query.channel_max = Some(value.parse().ok()?),
            "frame_max" => query.frame_max = Some(value.parse().ok()?),
            "auth_mechanism" => query.auth_mechanism = Some(value.parse().ok()?),
            // Other clients' settings.
            _ => {}
        }
    }
    Some(query)
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
    fn ipv6_addresses_are_taken_in_both_forms() {
        for host in ["2001:db8::5", "[2001:db8::5]"] {
            let uri = link(&[("RABBIT_HOST", host)]);
            assert_eq!(uri.authority.host, "2001:db8::5");
        }
        let uri = link(&[("RABBIT_URL", "amqp://u:p%40@[2001:db8::5]:99/a%2fb")]);
        assert_eq!(uri.authority.host, "2001:db8::5");
        assert_eq!((uri.authority.port, uri.vhost.as_str()), (99, "a/b"));
        assert_eq!(uri.authority.userinfo.password, "p@");
    }

    #[test]
    fn what_leads_nowhere_is_refused_with_its_name() {
        for (name, value) in [
            ("RABBIT_HOST", "my host"),
            ("RABBIT_HOST", "rabbit:5672"),
            ("RABBIT_URL", "amqp://"),
            ("RABBIT_URL", "http://h/"),
            ("RABBIT_URL", "amqp://u:hunter2/x@h/"),
            ("RABBIT_URL", "amqp://h/?heartbeat=hunter2"),
            ("RABBIT_URL", "amqp://h/#hunter2"),
            ("RABBIT_URL", "amqp://u:hunter2#x@h/"),
            ("RABBIT_URL", "amqp://u:hunter2?x@h/"),
            ("RABBIT_URL", "amqp://u:hunter2@[fe80::1%25eth0]/"),
            ("RABBIT_URL", "amqp://u:hunter2@h:0/"),
            ("RABBIT_URL", "amqp://u:hunter2@h:70000/"),
            ("RABBIT_URL", "u:hunter2@h:5672"),
            ("RABBIT_HOST", "fe80::1%eth0"),
        ] {
            let mut reader = Reader::of([(name, value)]);
            assert!(AmqpLink::read(&mut reader).is_none(), "{value}");
            let problem = reader.finish().unwrap_err().to_string();
            assert!(problem.contains(name), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let mut reader = Reader::of([("RABBIT_PASSWORD", "hunter2%40")]);
        let link = AmqpLink::read(&mut reader).unwrap();
        assert!(link.encoded);
        assert!(!format!("{link:?}").contains("hunter2"));
    }

    #[test]
    fn passwords_may_hold_what_does_not_end_the_host() {
        for (url, password) in [
            ("amqp://u:p@ss@b/", "p@ss"),
            ("amqp://u:100%@b/", "100%"),
            ("amqp://u:100%25@b/", "100%"),
            ("amqp://u:a:b@b/", "a:b"),
            ("amqp://u:%23%2f%3f@b/", "#/?"),
            ("amqps://u:p@[::1]", "p"),
            ("AMQP://u:p@B", "p"),
        ] {
            let uri = link(&[("RABBIT_URL", url)]);
            assert_eq!(uri.authority.userinfo.password, password, "{url}");
            assert!(["b", "::1"].contains(&uri.authority.host.as_str()), "{url}");
        }
        assert_eq!(
            link(&[("RABBIT_URL", "amqps://[::1]")]).authority.port,
            5671
        );
    }

    #[test]
    fn a_vhost_may_begin_with_a_slash() {
        assert_eq!(link(&[("RABBIT_URL", "amqp://b//a")]).vhost, "/a");
    }

    #[test]
    fn no_vhost_is_the_default_one() {
        for url in [
            "amqp://b",
            "amqp://b:5672",
            "amqp://b:5672/",
            "amqp://b/%2f",
            "amqp://b/%2F",
            "amqp://b?heartbeat=5",
            "amqp://b//",
        ] {
            assert_eq!(link(&[("RABBIT_URL", url)]).vhost, "/", "{url}");
        }
    }
}
