//! The link to Redis.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff,
    health::Condition,
    settings::{
        Reader, Setting,
        catalogue::{REDIS_HOST, REDIS_PORT, REDIS_URL},
    },
};

/// How long a reply may take. The client's own default, 500 ms, is shorter than a large transaction on a busy server.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where Redis is.
#[derive(Clone, Debug)]
pub struct RedisLink {
    client: Client,
}

impl RedisLink {
    /// Reads `REDIS_URL`, else `REDIS_HOST` and `REDIS_PORT`.
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let host = reader.text(&REDIS_HOST);
        let port: u16 = reader.number(&REDIS_PORT, 1..);
        match reader.optional(&REDIS_URL) {
            Some(_) => Self::read_url(reader, &REDIS_URL),
            None => Client::open(format!("redis://{host}:{port}/"))
                .ok()
                .map(|client| Self { client }),
        }
    }

    /// Reads a URL setting; `None` if it is empty or wrong (then it is reported).
    pub fn read_url(reader: &mut Reader, setting: &Setting) -> Option<Self> {
        reader.optional(setting)?;
        let client = reader.checked(setting, |url| Client::open(url).ok())?;
        Some(Self { client })
    }

    /// The same server with another database number.
    ///
    /// # Errors
    ///
    /// If the client refuses the address.
    pub fn with_database(&self, database: i64) -> Result<Self, RedisError> {
        let info = self.client.get_connection_info().clone();
        let settings = info.redis_settings().clone().set_db(database);
        Ok(Self {
            client: Client::open(info.set_redis_settings(settings))?,
        })
    }

    /// The number of the database.
    #[must_use]
    pub fn database(&self) -> i64 {
        self.client.get_connection_info().redis_settings().db()
    }

    /// Whether the other link leads to the same server as the same user, so that only SELECT lies between them.
    #[must_use]
    pub fn same_server(&self, other: &Self) -> bool {
        let (ours, theirs) = (
            self.client.get_connection_info(),
            other.client.get_connection_info(),
        );
        let user = |info: &ConnectionInfo| {
            let settings = info.redis_settings();
            (
                settings.username().map(str::to_owned),
                settings.password().map(str::to_owned),
            )
        };
        ours.addr() == theirs.addr() && user(ours) == user(theirs)
    }

    /// Opens a connection of one's own: what it watches and the order of its commands are nobody else's.
    ///
    /// # Errors
    ///
    /// If Redis can't be reached within 3 s.
    pub async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// Like [`Self::connect`], again and again until it works; `None` if `stop` comes first.
    pub async fn connect_until(
        &self,
        connected: &Condition,
        stop: &CancellationToken,
    ) -> Option<MultiplexedConnection> {
        backoff::connect_until("redis", connected, stop, || self.connect()).await
    }

    /// A connection that reconnects by itself, for commands that stand alone. It need not be connected yet.
    ///
    /// # Errors
    ///
    /// If the client refuses the address.
    pub fn manager(&self) -> Result<ConnectionManager, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_max_delay(Duration::from_secs(2));
        ConnectionManager::new_lazy_with_config(self.client.clone(), config)
    }
}
