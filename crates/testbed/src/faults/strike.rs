//! What can happen to a running stack: it begins, lasts a while, and is put right again.

use std::time::Duration;

use anyhow::{Context, Result};
use discord_sim::{Answer, Fault, Point, RestFault, Scope};

use super::{ARRIVE_LIMIT, HEARTBEAT};
use super::{in_batch, unconfirmed};
use crate::process::Process;
use crate::proxy::Proxy;
use crate::stack::{STOP_LIMIT, Stack};

/// Longest time for a restarted service to be ready. With a broker that restarts at the same time too.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Longest time for the broker to replace a client of which it hears nothing.
const SILENCE_LIMIT: Duration = Duration::from_secs(25);

/// How long the services wait for an answer of Redis, and for a new connection to it.
const REDIS_TIMEOUT: Duration = Duration::from_secs(10);
const REDIS_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

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
    /// Redis is frozen for longer than the services wait, then carries out what it was asked.
    FreezeRedis,
    /// The network swallows what is sent to Redis, from the end of a transaction on, for longer than the services wait. When
    /// they have gone on, it is delivered.
    SwallowRedis,
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
    /// The sockets are cut, and new ones reset right after the upgrade for a while.
    ResetUpgrades,
    /// The sockets are cut, and new ones closed right after HELLO for a while.
    CloseAfterHello,
    /// The sockets are cut, and of each shard the next two resumes closed upon.
    RefuseResumes,
    /// The sockets are cut, and the next of each shard gets no HELLO.
    NoHello,
    /// The sockets are cut, and each shard's next resume goes to a node that dies then.
    SilentResume,
    /// Op 7 from nodes that die then.
    ReconnectThenSilence,
    /// `GET /gateway/bot` is answered with 429, once.
    LimitRest,
}

impl Strike {
    /// Every kind, with writers 0 and 1 where that makes a difference.
    pub const ALL: [Self; 36] = [
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
        Self::FreezeRedis,
        Self::SwallowRedis,
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
        Self::ResetUpgrades,
        Self::CloseAfterHello,
        Self::RefuseResumes,
        Self::NoHello,
        Self::SilentResume,
        Self::ReconnectThenSilence,
        Self::LimitRest,
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
            Self::FreezeRedis | Self::SwallowRedis => return REDIS_TIMEOUT + REDIS_CONNECT_TIMEOUT,
            // A client gives up at the second heartbeat that finds the one before without answer.
            Self::StallAcks => return HEARTBEAT * 5 / 2,
            Self::FreezeWriter(_) | Self::FreezeWriterInBatch(_) => 700,
            Self::RefuseConnections => 1_000,
            // Long enough for every shard to come back and meet with it.
            Self::ResetUpgrades
            | Self::CloseAfterHello
            | Self::RefuseResumes
            | Self::NoHello
            | Self::SilentResume => 3_000,
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
            Self::TermWriterInBatch(n) => in_batch::end_writer(stack, n).await?,
            Self::TermRouter => stack.router.stop(STOP_LIMIT).await?,
            Self::KillRabbitMq => stack.servers.rabbitmq.kill(),
            Self::BlockRabbitMq => stack.servers.rabbitmq.set_memory_alarm(true).await?,
            Self::KillRedis => stack.servers.redis.kill(),
            Self::LoseRedis => stack.servers.redis.lose_data()?,
            Self::FreezeRedis => stack.servers.redis.freeze(),
            Self::SwallowRedis => link(stack)?.swallow_from("EXEC\r\n"),
            Self::KillWriterInBatch(n) => in_batch::kill_writer(stack, n).await?,
            Self::KillWriterUnconfirmed => unconfirmed::kill_writer(stack).await?,
            Self::FreezeWriter(n) => {
                writer(stack, n).sigstop();
                replace_consumers(stack, n).await?;
            }
            Self::FreezeWriterInBatch(n) => {
                let n = in_batch::freeze_writer(stack, n).await?;
                replace_consumers(stack, n).await?;
            }
            Self::SilenceWriter(n) => writer(stack, n).sigstop(),
            Self::CutSocket => discord(stack, Fault::Drop),
            Self::Reconnect => discord(stack, Fault::Reconnect),
            Self::InvalidResumable => discord(stack, Fault::InvalidSession { resumable: true }),
            Self::InvalidSession => discord(stack, Fault::InvalidSession { resumable: false }),
            Self::StallAcks => discord(stack, Fault::StallAcks(true)),
            Self::RefuseConnections => discord(stack, Fault::RefuseConnections(true)),
            Self::ResetUpgrades
            | Self::CloseAfterHello
            | Self::RefuseResumes
            | Self::NoHello
            | Self::SilentResume => self.answer_wrongly(stack),
            Self::ReconnectThenSilence => discord(stack, Fault::ReconnectThenSilence),
            Self::LimitRest => stack.sim.rest_fault(RestFault {
                route: Some("/gateway/bot".into()),
                status: Some(429),
                retry_after: Some("2".into()),
                times: Some(1),
                ..RestFault::default()
            }),
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
            Self::KillWriter(_)
            | Self::TermWriter(_)
            | Self::KillWriterInBatch(_)
            | Self::TermWriterInBatch(_)
            | Self::KillWriterUnconfirmed => {
                // Whichever it was.
                for writer in &mut stack.writers {
                    if !writer.runs() {
                        writer.restart()?;
                    }
                }
            }
            Self::KillRouter | Self::TermRouter => stack.router.restart()?,
            Self::KillRabbitMq => stack.servers.rabbitmq.restart().await?,
            Self::BlockRabbitMq => stack.servers.rabbitmq.set_memory_alarm(false).await?,
            Self::KillRedis | Self::LoseRedis => stack.servers.redis.restart().await?,
            Self::FreezeRedis => stack.servers.redis.wake(),
            Self::SwallowRedis => {
                link(stack)?.heal();
                stack.arrived(&stack.sent(), ARRIVE_LIMIT).await?;
                link(stack)?.deliver();
            }
            Self::FreezeWriter(n) => writer(stack, n).sigcont(),
            Self::FreezeWriterInBatch(_) => stack.writers.iter_mut().for_each(Process::sigcont),
            Self::SilenceWriter(n) => {
                // That its partitions are served shows that it has been replaced.
                let served = stack.arrived(&stack.sent(), SILENCE_LIMIT).await;
                writer(stack, n).sigcont();
                served?;
            }
            Self::StallAcks => discord(stack, Fault::StallAcks(false)),
            Self::RefuseConnections => discord(stack, Fault::RefuseConnections(false)),
            Self::ResetUpgrades
            | Self::CloseAfterHello
            | Self::RefuseResumes
            | Self::NoHello
            | Self::SilentResume => discord(stack, Fault::AnswerNormally { at: None }),
            // Who comes too late for it is spared.
            Self::LimitRest => stack.sim.rest_normally(),
            Self::CutSocket
            | Self::Reconnect
            | Self::ReconnectThenSilence
            | Self::InvalidResumable
            | Self::InvalidSession => {}
        }
        Ok(())
    }

    /// Has Discord answer wrongly to shards that come back, and makes them come back.
    fn answer_wrongly(self, stack: &Stack) {
        let (at, with, times) = match self {
            Self::CloseAfterHello => (Point::Hello, Answer::Close(4000), None),
            Self::RefuseResumes => (Point::Resume, Answer::Close(1011), Some(2)),
            Self::NoHello => (Point::Upgrade, Answer::Ignore, Some(stack.shards)),
            Self::SilentResume => (Point::Resume, Answer::Silence, Some(1)),
            _ => (Point::Upgrade, Answer::Reset, None),
        };
        let fault = Fault::Answer {
            at,
            with,
            times,
            host: None,
        };
        match at {
            Point::Resume => {
                for shard in 0..stack.shards {
                    stack.sim.fault(fault, Scope::Shard(shard));
                }
            }
            _ => discord(stack, fault),
        }
        discord(stack, Fault::Drop);
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

/// The `n`th writer, counted round, or the next one that runs.
fn writer(stack: &mut Stack, n: usize) -> &mut Process {
    let count = stack.writers.len();
    let running = (0..count).map(|more| (n + more) % count);
    let running = running.clone().find(|n| stack.writers[*n].runs());
    &mut stack.writers[running.unwrap_or(n % count)]
}

/// What lies between the services and Redis.
fn link(stack: &Stack) -> Result<&Proxy> {
    stack.redis_link.as_ref().context("no proxy before Redis")
}

fn discord(stack: &Stack, fault: Fault) {
    stack.sim.fault(fault, Scope::All);
}
