//! The pool of connections to Redis.

use std::{io, mem, time::Duration};

use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult};
use deadpool_redis::{Runtime, Timeouts};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult,
    Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cmd,
};

use crate::metrics::Metric;

use super::fault::{holds_fault, is_fault, is_replica};

/// How long a server may take to accept a connection, and to answer the check of one that is used again.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a reply may take. The client's own default, 500 ms, is shorter than a large transaction on a busy server.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

crate::catalogue! {
    pub(crate) METRICS:
    IN_USE = gauge "redis_connections_in_use",
        "Connections to Redis lent out by the pool: one for each partition served, others for moments";
    WAITING = gauge "redis_connections_waiting", "Tasks that wait for a connection to Redis";
    TIMEOUTS = counter "redis_connection_timeouts_total" {"type": &["wait", "connect", "check"]},
        "Times that no connection to Redis was free (`wait`) or that it did not answer (`connect`, `check`)";
    DROPPED = counter "redis_connections_dropped_total",
        "Connections to Redis not used again because they had failed or led to a replica";
}

/// A bounded number of connections, opened when they are needed and lent to one user at a time.
#[derive(Clone)]
pub(super) struct Pool {
    pool: managed::Pool<Manager>,
}

impl Pool {
    /// A pool of at most `size` connections. Waiting for one ends after `wait`.
    pub(super) fn new(info: ConnectionInfo, size: usize, wait: Duration) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let manager = Manager {
            inner: deadpool_redis::Manager::new_with_config(info, config)?,
        };
        // How long the server may take is the manager's to say: what runs out of time there is counted.
        let timeouts = Timeouts::wait_millis(wait.as_millis().try_into().unwrap_or(u64::MAX));
        let pool = managed::Pool::builder(manager)
            .max_size(size)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { pool })
    }

    /// Borrows a connection that was just checked, or opens one.
    pub(super) async fn get(&self) -> RedisResult<Connection> {
        let waiting = Counted::new(WAITING);
        // Boxed, or each caller's future would hold all that opening a connection may need.
        let object = Box::pin(self.pool.get())
            .await
            .map_err(|error| self.error(error))?;
        drop(waiting);
        Ok(Connection {
            object,
            _in_use: Counted::new(IN_USE),
        })
    }

    fn error(&self, error: PoolError<RedisError>) -> RedisError {
        match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(_) => {
                TIMEOUTS.counter_of(["wait"]).increment(1);
                let size = self.pool.status().max_size;
                timed_out(format!(
                    "none of the {size} connections to redis became free"
                ))
            }
            other => io::Error::other(other).into(),
        }
    }
}

/// A connection to Redis, borrowed from the pool: nobody else's as long as it is held.
pub struct Connection {
    object: Object<Manager>,
    _in_use: Counted,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let checked = &mut *self.object;
            let usable = mem::replace(&mut checked.usable, false);
            let reply = checked.connection.req_packed_command(command).await;
            checked.usable = usable
                && match &reply {
                    Ok(reply) => !holds_fault(reply),
                    Err(error) => !is_fault(error),
                };
            reply
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let checked = &mut *self.object;
            let usable = mem::replace(&mut checked.usable, false);
            let connection = &mut checked.connection;
            let replies = connection
                .req_packed_commands(pipeline, offset, count)
                .await;
            checked.usable = usable
                && match &replies {
                    Ok(replies) => !replies.iter().any(holds_fault),
                    Err(error) => !is_fault(error),
                };
            replies
        })
    }

    fn get_db(&self) -> i64 {
        self.object.connection.get_db()
    }
}

/// A connection, and whether it may be used again: not while a command is under way whose reply nobody may be waiting for any more,
/// and never after a fault, whatever it has answered since.
struct Checked {
    connection: MultiplexedConnection,
    usable: bool,
}

/// Opens connections, and checks those that come back.
struct Manager {
    inner: deadpool_redis::Manager,
}

impl managed::Manager for Manager {
    type Type = Checked;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<Checked> {
        let open = async {
            let mut connection = self.inner.create().await?;
            // A server that still loads its data, or can't save it, says so here.
            cmd("PING").exec_async(&mut connection).await?;
            refuse_replica(&mut connection).await?;
            Ok(Checked {
                connection,
                usable: true,
            })
        };
        within("connect", open).await
    }

    async fn recycle(&self, checked: &mut Checked, metrics: &Metrics) -> RecycleResult<RedisError> {
        let usable = checked.usable;
        let connection = &mut checked.connection;
        let check = async {
            if !usable {
                return Err(RecycleError::message("the connection has failed"));
            }
            self.inner.recycle(connection, metrics).await?;
            Ok(refuse_replica(connection).await?)
        };
        let checked = within("check", check).await;
        if checked.is_err() {
            DROPPED.counter().increment(1);
        }
        checked
    }
}

/// A server that was a primary may be a replica now: what is written there is lost.
async fn refuse_replica(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let role = match cmd("ROLE").query_async(connection).await {
        Ok(role) => role,
        Err(error) if is_fault(&error) => return Err(error),
        Err(_) => return Ok(()),
    };
    if is_replica(&role) {
        return Err(io::Error::other("the server is a replica, not the primary").into());
    }
    Ok(())
}

async fn within<T, E: From<RedisError>>(
    step: &'static str,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(CONNECT_TIMEOUT, future).await {
        Ok(result) => result,
        Err(_) => {
            TIMEOUTS.counter_of([step]).increment(1);
            Err(timed_out(format!("no answer within {CONNECT_TIMEOUT:?}")).into())
        }
    }
}

fn timed_out(message: String) -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, message).into()
}

/// Counts in a gauge for as long as it lives.
struct Counted(Metric);

impl Counted {
    fn new(metric: Metric) -> Self {
        metric.gauge().increment(1.0);
        Self(metric)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.gauge().decrement(1.0);
    }
}
