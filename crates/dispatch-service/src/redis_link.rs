//! The link to Redis: one pool of connections.
//!
//! Whoever needs a connection of its own for long (a partition's worker, because of what it watches) holds one; everybody else
//! borrows one for a call.

mod fault;
mod pool;

use std::{fmt, time::Duration};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio_util::sync::CancellationToken;

use crate::tls::Tls;
use crate::{
    backoff,
    health::Condition,
    settings::{
        Reader, Setting, address,
        catalogue::{REDIS_HOST, REDIS_POOL_SIZE, REDIS_POOL_TIMEOUT, REDIS_PORT, REDIS_URL},
    },
};
pub use pool::Connection;
pub(crate) use pool::METRICS;

use pool::Pool;

/// A peer that vanished without a word is noticed within this time, also while nothing is sent.
const SILENCE: Duration = Duration::from_secs(15);
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Where Redis is, and the connections to it.
#[derive(Clone)]
pub struct RedisLink {
    info: ConnectionInfo,
    pool: Pool,
    limits: Limits,
    tls: Tls,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    size: usize,
    wait: Duration,
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink")
            .field("info", &self.info)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl RedisLink {
    /// Reads `REDIS_URL`, else `REDIS_HOST` and `REDIS_PORT`. `needed`: connections that the service may need at once.
    pub fn read(reader: &mut Reader, needed: usize) -> Option<Self> {
        let limits = Limits::read(reader, needed);
        let tls = Tls::read(reader);
        let port: u16 = reader.number(&REDIS_PORT, 1..);
        if reader.optional(&REDIS_URL).is_some() {
            return Self::read_url(reader, &REDIS_URL, limits, &tls);
        }
        let host = reader.host(&REDIS_HOST);
        // 0 was reported.
        let link = Self::open(ConnectionAddr::Tcp(host?, port), limits, &tls).ok();
        if link.is_none() {
            reader.problem(&REDIS_HOST, REDIS_HOST.expected.to_owned());
        }
        link
    }

    /// Reads a URL setting of another database or server; `None` if it is empty or wrong (then it is reported).
    pub fn read_other(&self, reader: &mut Reader, setting: &Setting) -> Option<Self> {
        Self::read_url(reader, setting, self.limits, &self.tls)
    }

    fn read_url(reader: &mut Reader, setting: &Setting, limits: Limits, tls: &Tls) -> Option<Self> {
        reader.optional(setting)?;
        let open = |url: &str| Self::open(usable(url)?, limits, tls).ok();
        reader.checked(setting, |url| open(url).filter(|link| link.database() >= 0))
    }

    fn open(
        address: impl IntoConnectionInfo,
        limits: Limits,
        tls: &Tls,
    ) -> Result<Self, RedisError> {
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(
                TcpKeepalive::new()
                    .with_time(SILENCE)
                    .with_interval(PROBE_INTERVAL),
            )
            .set_user_timeout(SILENCE);
        let mut client = Client::open(address)?;
        if let ConnectionAddr::TcpTls { .. } = client.get_connection_info().addr()
            && let Some(certificates) = tls.redis()
        {
            client = Client::build_with_tls(client.get_connection_info().clone(), certificates)?;
        }
        let info = client.get_connection_info().clone().set_tcp_settings(tcp);
        Ok(Self {
            pool: Pool::new(info.clone(), limits.size, limits.wait)?,
            info,
            limits,
            tls: tls.clone(),
        })
    }

    /// The same server with another database number.
    ///
    /// # Errors
    ///
    /// If the client refuses the address.
    pub fn with_database(&self, database: i64) -> Result<Self, RedisError> {
        let settings = self.info.redis_settings().clone().set_db(database);
        let info = self.info.clone().set_redis_settings(settings);
        Self::open(info, self.limits, &self.tls)
    }

    /// The number of the database.
    #[must_use]
    pub fn database(&self) -> i64 {
        self.info.redis_settings().db()
    }

    /// Whether the other link leads to the same server as the same user, so that only SELECT lies between them.
    #[must_use]
    pub fn same_server(&self, other: &Self) -> bool {
        let user = |info: &ConnectionInfo| {
            let settings = info.redis_settings();
            (
                settings.username().map(str::to_owned),
                settings.password().map(str::to_owned),
            )
        };
        self.info.addr() == other.info.addr() && user(&self.info) == user(&other.info)
    }

    /// A connection from the pool, for as long as it is held: what it watches and the order of its commands are nobody else's.
    /// Dropped, it goes back to the pool, unless it has failed.
    ///
    /// # Errors
    ///
    /// If none becomes free within `REDIS_POOL_TIMEOUT`, Redis can't be reached within 3 s, or the server is a replica.
    pub async fn connection(&self) -> Result<Connection, RedisError> {
        self.pool.get().await
    }

    /// Like [`Self::connection`], again and again until it works; `None` if `stop` comes first.
    pub async fn connect_until(
        &self,
        connected: &Condition,
        stop: &CancellationToken,
    ) -> Option<Connection> {
        backoff::connect_until("redis", connected, stop, || self.connection()).await
    }
}

/// The URL, if it leads where it says: to a host that can be one, or to a socket file.
fn usable(url: &str) -> Option<&str> {
    const SERVERS: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];
    let scheme = url.split_once("://")?.0.to_ascii_lowercase();
    let leads = |(url, _): (url::Url, String)| url.fragment().is_none();
    let usable =
        !SERVERS.contains(&scheme.as_str()) || address::url(url, &SERVERS).is_some_and(leads);
    usable.then_some(url)
}

impl Limits {
    fn read(reader: &mut Reader, needed: usize) -> Self {
        let size = match reader.optional(&REDIS_POOL_SIZE) {
            Some(_) => reader.number(&REDIS_POOL_SIZE, 1..),
            None => needed,
        };
        if (1..needed).contains(&size) {
            reader.problem(
                &REDIS_POOL_SIZE,
                format!("a number from {needed}: so many are needed at once"),
            );
        }
        Self {
            size,
            wait: Duration::from_millis(reader.millis(&REDIS_POOL_TIMEOUT, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> (Option<RedisLink>, String) {
        let mut reader = Reader::of(settings.iter().copied());
        let link = RedisLink::read(&mut reader, 20);
        let problems = reader.finish().err().map(|error| error.to_string());
        (link, problems.unwrap_or_default())
    }

    #[test]
    fn addresses_are_taken_in_both_forms() {
        for (name, value) in [
            ("REDIS_HOST", "::1"),
            ("REDIS_HOST", "[::1]"),
            ("REDIS_URL", "redis://[::1]:6379/"),
        ] {
            let (link, problems) = read(&[(name, value)]);
            assert_eq!(problems, "", "{value}");
            let address = link.unwrap().info.addr().to_string();
            assert!(address.ends_with("::1:6379"), "{value}: {address}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused_with_its_name() {
        for (name, value) in [
            ("REDIS_HOST", "my host"),
            ("REDIS_HOST", "redis:6379"),
            ("REDIS_HOST", "redis://:hunter2@h/"),
            ("REDIS_PORT", "0"),
            ("REDIS_URL", "redis://"),
            ("REDIS_URL", "redis://my host/"),
            ("REDIS_URL", "redis://h/x"),
            ("REDIS_URL", "http://h"),
            ("REDIS_URL", "redis://:1/hunter2@h/"),
            ("REDIS_URL", "h:6379"),
            ("REDIS_URL", "REDIS://:hunter2@"),
            ("REDIS_URL", "Redis://:hunter2@my host/"),
            ("REDIS_URL", "redis:///0"),
            ("REDIS_URL", "redis://:hunter2@h:0/"),
            ("REDIS_URL", "redis://:hunter2@h:70000/"),
            ("REDIS_URL", "redis://:hunter2@[fe80::1%25eth0]/"),
            ("REDIS_URL", "redis://:hunter2#x@h/"),
            ("REDIS_URL", "redis://h/-1"),
            ("REDIS_HOST", "/run/redis.sock"),
        ] {
            let (link, problems) = read(&[(name, value)]);
            assert!(link.is_none() || name == "REDIS_PORT", "{value}");
            assert!(problems.contains(name), "{value}: {problems}");
            assert!(!problems.contains("hunter2"), "{problems}");
        }
    }

    #[test]
    fn sockets_and_passwords_of_all_kinds_are_taken() {
        for (url, address, password) in [
            ("unix:///run/redis.sock?db=2", "/run/redis.sock", None),
            ("redis+unix:///run/redis.sock", "/run/redis.sock", None),
            ("redis://:p@ss@h/1", "h:6379", Some("p@ss")),
            ("redis://:100%@h", "h:6379", Some("100%")),
            ("redis://u:%23%2f@h:1/2", "h:1", Some("#/")),
            ("REDISS://h", "h:6379", None),
        ] {
            let (link, problems) = read(&[("REDIS_URL", url)]);
            assert_eq!(problems, "", "{url}");
            let info = link.unwrap().info;
            assert_eq!(info.addr().to_string(), address, "{url}");
            assert_eq!(info.redis_settings().password(), password, "{url}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let (link, _) = read(&[("REDIS_URL", "rediss://u:hunter2@h/")]);
        assert!(!format!("{:?}", link.unwrap()).contains("hunter2"));
    }

    #[test]
    fn the_pool_is_as_large_as_needed_unless_told_otherwise() {
        let size = |settings: &[(&str, &str)]| read(settings).0.unwrap().limits.size;
        assert_eq!(size(&[]), 20);
        assert_eq!(size(&[("REDIS_POOL_SIZE", "50")]), 50);
        let (_, problems) = read(&[("REDIS_POOL_SIZE", "19")]);
        assert!(problems.contains("REDIS_POOL_SIZE=\"19\": expected a number from 20"));
        let (_, problems) = read(&[("REDIS_POOL_SIZE", "x"), ("REDIS_POOL_TIMEOUT", "0")]);
        assert!(problems.starts_with("2 wrong setting(s)"), "{problems}");
        let (_, problems) = read(&[("REDIS_POOL_TIMEOUT", "10000000000001")]);
        assert!(problems.contains("REDIS_POOL_TIMEOUT"), "{problems}");
    }
}
