//! Faults of the routers, under many more commands than Discord would take: nobody runs the shards, and the sequences in their queues are
//! compared with what was sent.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use dispatch_proto::rabbit::{DEAD_QUEUE, shard_queue};
use lapin::options::BasicGetOptions;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::AsyncCommands;
use tokio::time::sleep;

use super::Outcome;
use super::commands::{Commands, number};
use crate::binaries::Service;
use crate::process::Process;
use crate::servers::{Servers, queue_depths, rabbitmq_connection};
use crate::stack::{STOP_LIMIT, settings};
use crate::wait;

/// Commands a second.
const RATE: u32 = 200;
/// Faults in a case.
const STRIKES: usize = 8;
const ROUTERS: usize = 2;
const SHARDS: u32 = 4;
/// Longest time for a router to become active, and for commands to flow.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest time for another router to be active after a strike. A second is promised, on a machine that has one to spare.
const TAKE_OVER: Duration = Duration::from_secs(5);
/// Commands that flow before a strike at least, and up to so many more.
const BEFORE: (f64, f64) = (40.0, 100.0);
/// How long a frozen router stays so: commands flow through the other one meanwhile.
const FROZEN: Duration = Duration::from_millis(700);
/// Commands of one shard that may repeat after a crash: the one in flight, and one whose acknowledgement has not left the process.
const REPEATS: usize = 2;

/// What happens to the active router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// `kill -9`.
    Kill,
    /// SIGTERM.
    Term,
    /// Frozen; RabbitMQ gives up its connection; woken.
    Freeze,
}

/// Strikes at the active one of two routers.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name in the table.
    pub name: String,
    /// What happens, eight times.
    pub strike: Strike,
    /// Seed of the moments at which it does.
    pub seed: u64,
    /// Type of the queues.
    pub queue_type: String,
}

/// The cases.
#[must_use]
pub fn suite(seed: u64, queue_type: &str) -> Vec<Case> {
    let cases = [
        ("kill -9 router, 8 times", Strike::Kill),
        ("SIGTERM router, 8 times", Strike::Term),
        ("router frozen and woken, 8 times", Strike::Freeze),
    ];
    let case = |(name, strike): (&str, _)| Case {
        name: name.to_owned(),
        strike,
        seed,
        queue_type: queue_type.to_owned(),
    };
    cases.map(case).into()
}

/// Runs a case on `servers`, which are renewed first, and gives them back.
///
/// # Errors
///
/// If the servers don't work any more. A case that fails is an outcome.
pub async fn run(case: &Case, mut servers: Servers) -> Result<(Outcome, Servers)> {
    servers.heal().await?;
    servers.renew().await?;
    let mut outcome = Outcome::of(&case.name);
    let mut routers = Vec::new();
    if let Err(error) = under_commands(case, &servers, &mut routers, &mut outcome).await {
        outcome.faults.push(format!("{error:#}"));
    }
    if !outcome.passed() {
        let logs: Vec<_> = routers.iter().map(|router| router.log_tail(15)).collect();
        outcome.logs = logs.join("\n");
    }
    Ok((outcome, servers))
}

async fn under_commands(
    case: &Case,
    servers: &Servers,
    routers: &mut Vec<Process>,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut redis = servers.redis.connection().await?;
    redis.set::<_, _, ()>("gateway_shards", SHARDS).await?;
    let mut env = settings::links(&servers.rabbitmq.url(), &servers.redis.url());
    env.insert("RABBIT_QUEUE_TYPE".into(), case.queue_type.clone());
    // Nobody takes the commands from the shards' queues.
    env.insert("COMMAND_TTL".into(), "3600000".into());
    for n in 0..ROUTERS {
        let name = format!("command-router-{n}");
        let router = Process::start(Service::CommandRouter, &name, servers.dir(), &env)?;
        routers.push(router);
    }
    for router in routers.iter_mut() {
        router.ready(LIMIT).await?;
    }
    let url = servers.rabbitmq.url();
    let commands = Commands::at_rate(url.clone(), SHARDS, RATE);
    let mut rng = StdRng::seed_from_u64(case.seed);
    for _ in 0..STRIKES {
        let active = flowing(routers, &mut rng).await?;
        let took = strike(case.strike, servers, routers, active).await?;
        outcome.recovery = outcome.recovery.max(took);
    }
    flowing(routers, &mut rng).await?;
    let published = commands.stop().await;
    let arrived = arrived(&url, published).await?;
    let mut lost = 0;
    for (shard, arrived) in (0..SHARDS).zip(arrived) {
        let sent = (u64::from(shard)..published).step_by(SHARDS as usize);
        let order = Order::of(&sent.collect::<Vec<_>>(), &arrived);
        lost += order.lost;
        let most = match case.strike {
            Strike::Term => 0,
            Strike::Kill | Strike::Freeze => STRIKES * REPEATS,
        };
        if order.lost > 0 || order.misordered > 0 || order.repeats > most {
            outcome.faults.push(format!("shard {shard}: {order:?}"));
        }
    }
    outcome.commands = (published, lost as u64);
    let dead = servers
        .rabbitmq
        .queue_depths(&[DEAD_QUEUE.to_owned()])
        .await?;
    if let Some(letters) = dead.values().find(|letters| **letters > 0) {
        outcome.faults.push(format!("{letters} dead letters"));
    }
    Ok(())
}

/// Waits until commands flow through a router, and returns which one it is.
async fn flowing(routers: &[Process], rng: &mut StdRng) -> Result<usize> {
    let (least, more) = BEFORE;
    let count = least + rng.random_range(0.0..more);
    let active = active(routers, None).await?;
    let first = forwarded(&routers[active]).await.unwrap_or(0.0);
    wait::until("commands to flow", LIMIT, async || {
        let now = forwarded(&routers[active]).await;
        now.is_some_and(|now| now >= first + count)
    })
    .await?;
    Ok(active)
}

async fn forwarded(router: &Process) -> Option<f64> {
    router
        .metrics()
        .await
        .ok()?
        .sum("command_router_commands_total")
}

async fn is_active(router: &Process) -> bool {
    let metrics = router.metrics().await;
    metrics.is_ok_and(|metrics| metrics.sum("command_router_active") == Some(1.0))
}

/// Waits for the router that is active, another one than `before`.
async fn active(routers: &[Process], before: Option<usize>) -> Result<usize> {
    let mut active = None;
    let limit = if before.is_some() { TAKE_OVER } else { LIMIT };
    wait::until("a router to be active", limit, async || {
        for (n, router) in routers
            .iter()
            .enumerate()
            .filter(|(n, _)| Some(*n) != before)
        {
            if is_active(router).await {
                active = Some(n);
            }
        }
        active.is_some()
    })
    .await?;
    active.context("no router is active")
}

/// Strikes at the active router and puts it right; returns how long it took until the other was active.
async fn strike(
    strike: Strike,
    servers: &Servers,
    routers: &mut [Process],
    struck: usize,
) -> Result<Duration> {
    let router = &mut routers[struck];
    match strike {
        Strike::Kill => router.kill9(),
        Strike::Term => router.stop(STOP_LIMIT).await?,
        Strike::Freeze => {
            let ports = router.tcp_ports();
            ensure!(!ports.is_empty(), "the router has no connections");
            router.sigstop();
            servers.rabbitmq.close_connections_from(&ports).await?;
        }
    }
    let began = Instant::now();
    active(routers, Some(struck)).await?;
    let took = began.elapsed();
    let router = &mut routers[struck];
    if strike == Strike::Freeze {
        sleep(FROZEN).await;
        router.sigcont();
        // It was active, for all it knew.
        wait::until("the woken router to notice", LIMIT, async || {
            !is_active(router).await
        })
        .await?;
    } else {
        router.restart()?;
    }
    router.ready(LIMIT).await?;
    Ok(took)
}

/// The numbers of the commands in each shard's queue, when all that were published have had time to come.
async fn arrived(url: &str, published: u64) -> Result<Vec<Vec<u64>>> {
    let connection = rabbitmq_connection(url, "arrived").await?;
    let queues: Vec<String> = (0..SHARDS).map(shard_queue).collect();
    let all = async || {
        let depths = queue_depths(&connection, &queues).await.unwrap_or_default();
        u64::from(depths.values().sum::<u32>()) >= published
    };
    // What is missing then is counted.
    let _ = wait::until("commands to arrive", LIMIT, all).await;
    let channel = connection.create_channel().await?;
    let mut arrived = Vec::new();
    for queue in queues {
        let mut numbers = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(got) = channel.basic_get(queue.as_str().into(), options).await? {
            let packet = serde_json::from_slice(&got.delivery.data)?;
            match number(&packet) {
                Some(number) => numbers.push(number),
                None => bail!("{queue} has something else: {packet}"),
            }
        }
        arrived.push(numbers);
    }
    Ok(arrived)
}

/// How what arrived differs from what was sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Order {
    lost: usize,
    /// Commands that came again.
    repeats: usize,
    /// Commands that came for the first time after a later one had come, or again without what had followed them.
    misordered: usize,
}

impl Order {
    fn of(sent: &[u64], arrived: &[u64]) -> Self {
        let mut order = Self::default();
        let mut seen = vec![false; sent.len()];
        // What must come next, if nothing went wrong before.
        let mut next = 0;
        for number in arrived {
            let Ok(at) = sent.binary_search(number) else {
                // Sent, and its confirm not seen any more.
                continue;
            };
            order.repeats += usize::from(seen[at]);
            // A step back repeats what follows it; a step forward leaves something out.
            order.misordered += usize::from(at > next || (!seen[at] && at < next));
            seen[at] = true;
            next = at + 1;
        }
        order.misordered += usize::from(next < sent.len() && seen[sent.len() - 1]);
        order.lost = seen.iter().filter(|seen| !**seen).count();
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_loss_and_repeats_are_told_apart() {
        let of = |arrived: &[u64]| {
            let Order {
                lost,
                repeats,
                misordered,
            } = Order::of(&[1, 3, 5, 7], arrived);
            (lost, repeats, misordered)
        };
        assert_eq!(of(&[1, 3, 5, 7]), (0, 0, 0));
        assert_eq!(of(&[1, 3, 3, 5, 7, 9]), (0, 1, 0));
        assert_eq!(of(&[1, 3, 5, 3, 5, 7]), (0, 2, 0));
        assert_eq!(of(&[1, 5, 3, 7]), (0, 0, 3));
        assert_eq!(of(&[1, 3, 7]), (1, 0, 1));
        assert_eq!(of(&[1, 3, 5]), (1, 0, 0));
        assert_eq!(of(&[1, 3, 5, 7, 1]), (0, 1, 1));
    }
}
