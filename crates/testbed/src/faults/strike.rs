//! What can happen to a running stack: it begins, lasts a while, and is put right again.

use std::time::Duration;

use anyhow::Result;
use discord_sim::{Fault, Scope};

use super::run::HEARTBEAT;
use super::unconfirmed;
use crate::process::Process;
use crate::stack::{STOP_LIMIT, Stack};

/// Longest time for a restarted service to be ready. With a broker that restarts at the same time too.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Time in which every partition with traffic comes to wait for a frozen Redis.
const FILL: Duration = Duration::from_millis(60);
/// Time in which Redis answers reads and hardly carries out the writes that follow.
const READS: Duration = Duration::from_millis(1);
/// Time in which more frames gather than a writer takes at once.
const BACKLOG: Duration = Duration::from_millis(400);
/// Longest time for the broker to replace a client of which it hears nothing.
const SILENCE_LIMIT: Duration = Duration::from_secs(25);

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// `kill -9` of ingest.
    KillIngest,
    /// `kill -9` of a writer.
    KillWriter(usize),
    /// `kill -9` of the router.
    KillRouter,
    /// SIGTERM of ingest.
    TermIngest,
    /// SIGTERM of a writer.
    TermWriter(usize),
    /// SIGTERM of a writer that waits for Redis, with more frames in hand than it will work off.
    TermWriterInBatch(usize),
    /// SIGTERM of the router.
    TermRouter,
    /// `kill -9` of RabbitMQ.
    KillRabbitMq,
    /// RabbitMQ's memory alarm: publishers are blocked.
    BlockRabbitMq,
    /// `kill -9` of Redis, which comes back with its data.
    KillRedis,
    /// `kill -9` of Redis, which comes back empty.
    LoseRedis,
    /// `kill -9` of a writer that waits for Redis, which then carries out what it was asked: batches that are applied and
    /// not published.
    KillWriterInBatch(usize),
    /// `kill -9` of whichever writer has committed a batch that RabbitMQ, in a memory alarm, does not confirm.
    KillWriterUnconfirmed,
    /// A writer is frozen, its consumers are replaced, it wakes.
    FreezeWriter(usize),
    /// The same while it waits for Redis: it wakes with a batch that was read, or committed, before it was replaced.
    FreezeWriterInBatch(usize),
    /// A writer is frozen until the broker replaces its consumers because heartbeats are missing, then it wakes.
    SilenceWriter(usize),
    /// The sockets to Discord are cut.
    CutSocket,
    /// Op 7.
    Reconnect,
    /// Op 9, resumable.
    InvalidResumable,
    /// Op 9, not resumable: a new session.
    InvalidSession,
    /// Heartbeats are not acknowledged.
    StallAcks,
    /// The sockets to Discord are cut, and new ones refused for a while.
    RefuseConnections,
}

impl Strike {
    /// Every kind, with writers 0 and 1 where that makes a difference.
    pub const ALL: [Self; 27] = [
        Self::KillIngest,
        Self::KillWriter(0),
        Self::KillWriter(1),
        Self::KillRouter,
        Self::TermIngest,
        Self::TermWriter(0),
        Self::TermWriter(1),
        Self::TermWriterInBatch(0),
        Self::TermWriterInBatch(1),
        Self::TermRouter,
        Self::KillRabbitMq,
        Self::BlockRabbitMq,
        Self::KillRedis,
        Self::LoseRedis,
        Self::FreezeWriter(0),
        Self::FreezeWriter(1),
        Self::KillWriterInBatch(0),
        Self::KillWriterInBatch(1),
        Self::KillWriterUnconfirmed,
        Self::FreezeWriterInBatch(0),
        Self::FreezeWriterInBatch(1),
        Self::CutSocket,
        Self::Reconnect,
        Self::InvalidResumable,
        Self::InvalidSession,
        Self::StallAcks,
        Self::RefuseConnections,
    ];

    /// Whether a batch in flight may be published twice (P4): a writer crashes between publishing and the ack, or loses its
    /// connection there.
    #[must_use]
    pub fn may_repeat(self) -> bool {
        matches!(self, Self::KillRabbitMq | Self::KillWriterUnconfirmed)
            || self.writer_crash().is_some()
    }

    /// The writer that crashes, or is replaced before it knows.
    #[must_use]
    pub fn writer_crash(self) -> Option<usize> {
        match self {
            Self::KillWriter(n)
            | Self::KillWriterInBatch(n)
            | Self::FreezeWriter(n)
            | Self::FreezeWriterInBatch(n)
            | Self::SilenceWriter(n) => Some(n),
            _ => None,
        }
    }

    /// The writer that is asked to end.
    #[must_use]
    pub fn writer_end(self) -> Option<usize> {
        match self {
            Self::TermWriter(n) | Self::TermWriterInBatch(n) => Some(n),
            _ => None,
        }
    }

    /// Whether what is applied may stay unpublished while it lasts.
    #[must_use]
    pub fn holds_up_publishing(self) -> bool {
        self.may_repeat() || self == Self::BlockRabbitMq
    }

    /// Whether a session ends, so that a shard must identify anew.
    #[must_use]
    pub fn ends_sessions(self) -> bool {
        // After a loss of data the cache is rebuilt, which takes new sessions.
        matches!(self, Self::InvalidSession | Self::LoseRedis)
    }

    /// How long it lasts.
    #[must_use]
    pub fn duration(self) -> Duration {
        let milliseconds = match self {
            // Long enough that buffers fill.
            Self::BlockRabbitMq | Self::KillRedis | Self::LoseRedis => 2_000,
            // A client gives up at the second heartbeat that finds the one before without answer.
            Self::StallAcks => return HEARTBEAT * 5 / 2,
            Self::FreezeWriter(_) | Self::FreezeWriterInBatch(_) => 700,
            Self::RefuseConnections => 1_000,
            _ => 200,
        };
        Duration::from_millis(milliseconds)
    }

    /// Makes it happen.
    ///
    /// # Errors
    ///
    /// If that fails, or a service that was asked to end doesn't do so in time and with code 0.
    pub async fn begin(self, stack: &mut Stack) -> Result<()> {
        match self {
            Self::KillIngest => stack.ingest.kill9(),
            Self::KillWriter(n) => writer(stack, n).kill9(),
            Self::KillRouter => stack.router.kill9(),
            Self::TermIngest => stack.ingest.stop(STOP_LIMIT).await?,
            Self::TermWriter(n) => writer(stack, n).stop(STOP_LIMIT).await?,
            Self::TermWriterInBatch(n) => {
                let n = n % stack.writers.len();
                let (writer, redis) = (&mut stack.writers[n], &mut stack.servers.redis);
                redis.freeze();
                tokio::time::sleep(BACKLOG).await;
                let woken = async {
                    tokio::time::sleep(FILL).await;
                    redis.wake();
                };
                let (stopped, ()) = tokio::join!(writer.stop(STOP_LIMIT), woken);
                stopped?;
            }
            Self::TermRouter => stack.router.stop(STOP_LIMIT).await?,
            Self::KillRabbitMq => stack.servers.rabbitmq.kill(),
            Self::BlockRabbitMq => stack.servers.rabbitmq.set_memory_alarm(true).await?,
            Self::KillRedis => stack.servers.redis.kill(),
            Self::LoseRedis => stack.servers.redis.lose_data()?,
            Self::KillWriterInBatch(n) => {
                stack.servers.redis.freeze();
                tokio::time::sleep(FILL).await;
                // Enough for the reads to be answered; the writes that follow are held up.
                stack.servers.redis.wake();
                tokio::time::sleep(READS).await;
                stack.servers.redis.freeze();
                tokio::time::sleep(FILL).await;
                writer(stack, n).kill9();
                stack.servers.redis.wake();
            }
            Self::KillWriterUnconfirmed => unconfirmed::kill_writer(stack).await?,
            Self::FreezeWriter(n) => {
                writer(stack, n).sigstop();
                replace_consumers(stack, n).await?;
            }
            Self::FreezeWriterInBatch(n) => {
                stack.servers.redis.freeze();
                tokio::time::sleep(FILL).await;
                writer(stack, n).sigstop();
                stack.servers.redis.wake();
                replace_consumers(stack, n).await?;
            }
            Self::SilenceWriter(n) => writer(stack, n).sigstop(),
            Self::CutSocket => discord(stack, Fault::Drop),
            Self::Reconnect => discord(stack, Fault::Reconnect),
            Self::InvalidResumable => discord(stack, Fault::InvalidSession { resumable: true }),
            Self::InvalidSession => discord(stack, Fault::InvalidSession { resumable: false }),
            Self::StallAcks => discord(stack, Fault::StallAcks(true)),
            Self::RefuseConnections => discord(stack, Fault::RefuseConnections(true)),
        }
        Ok(())
    }

    /// Puts it right.
    ///
    /// # Errors
    ///
    /// If a server doesn't come back.
    pub async fn end(self, stack: &mut Stack) -> Result<()> {
        match self {
            Self::KillIngest | Self::TermIngest => stack.ingest.restart()?,
            Self::KillWriter(n)
            | Self::KillWriterInBatch(n)
            | Self::TermWriter(n)
            | Self::TermWriterInBatch(n) => {
                writer(stack, n).restart()?;
            }
            Self::KillWriterUnconfirmed => unconfirmed::restart_writer(stack)?,
            Self::KillRouter | Self::TermRouter => stack.router.restart()?,
            Self::KillRabbitMq => stack.servers.rabbitmq.restart().await?,
            Self::BlockRabbitMq => stack.servers.rabbitmq.set_memory_alarm(false).await?,
            Self::KillRedis | Self::LoseRedis => stack.servers.redis.restart().await?,
            Self::FreezeWriter(n) | Self::FreezeWriterInBatch(n) => writer(stack, n).sigcont(),
            Self::SilenceWriter(n) => {
                // That its partitions are served shows that it has been replaced.
                let served = stack.arrived(&stack.sent(), SILENCE_LIMIT).await;
                writer(stack, n).sigcont();
                served?;
            }
            Self::StallAcks => discord(stack, Fault::StallAcks(false)),
            Self::RefuseConnections => discord(stack, Fault::RefuseConnections(false)),
            Self::CutSocket | Self::Reconnect | Self::InvalidResumable | Self::InvalidSession => {}
        }
        Ok(())
    }

    /// Waits until every service is ready again.
    ///
    /// # Errors
    ///
    /// If one isn't within 30 s, or has ended.
    pub async fn recovered(stack: &mut Stack) -> Result<()> {
        for process in stack.processes() {
            process.ready(READY_LIMIT).await?;
        }
        Ok(())
    }
}

/// Does what the broker does by itself to a client that it has not heard of for two heartbeats.
async fn replace_consumers(stack: &mut Stack, n: usize) -> Result<()> {
    let ports = writer(stack, n).tcp_ports();
    stack.servers.rabbitmq.close_connections_from(&ports).await
}

/// The `n`th writer, counted round.
fn writer(stack: &mut Stack, n: usize) -> &mut Process {
    let n = n % stack.writers.len();
    &mut stack.writers[n]
}

fn discord(stack: &Stack, fault: Fault) {
    stack.sim.fault(fault, Scope::All);
}
