//! The way through one case.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use dispatch_proto::rabbit;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::timeout;

use super::commands::{self, Commands};
use super::strike::Strike;
use super::{ARRIVE_LIMIT, Case, HEARTBEAT, Outcome, rebuild};
use crate::collector::losses::Losses;
use crate::proxy::Proxy;
use crate::servers::Servers;
use crate::stack::{Options, Stack};
use crate::wait;

/// Longest time for a case without its rounds.
const CASE_LIMIT: Duration = Duration::from_secs(180);
/// Longest time for a round, restarts of servers and services included.
const ROUND_LIMIT: Duration = Duration::from_secs(180);
const SHARDS: u32 = 3;
const GUILDS: u32 = 30;
/// A shard that is served by no writer any more would show at once.
const WRITERS: u32 = 2;
/// Events that must have arrived before the first strike.
const WARM_UP: u64 = 300;
/// How long events flow after a rebuild.
const AFTER_REBUILD: Duration = Duration::from_secs(3);
/// Commands wait for the send limit and for shards that are away.
const COMMANDS_LIMIT: Duration = Duration::from_secs(15);
/// Latest moment of a strike after the one before has been overcome, or of the second of two after the first.
const MOMENT_MS: u64 = 600;
/// What was in flight at a crash had arrived at most so long before it.
const IN_FLIGHT_AGE: Duration = Duration::from_secs(2);
/// Heartbeat, in seconds, where the broker is to notice by itself that a client is frozen.
const AMQP_HEARTBEAT: u32 = 2;

/// Runs a case on `servers`, which are renewed first, and gives them back.
///
/// # Errors
///
/// If the servers don't work any more. A case that fails is an outcome.
pub async fn run(case: &Case, mut servers: Servers) -> Result<(Outcome, Servers)> {
    servers.heal().await?;
    servers.renew().await?;
    let mut outcome = Outcome::of(&case.name);
    let mut options = Options::new(SHARDS, GUILDS);
    options.writers = WRITERS;
    options.sim.world.seed = case.seed;
    options.sim.heartbeat_interval = HEARTBEAT;
    options.env.extend(case.settings.clone());
    let silent = |strike: &Strike| matches!(strike, Strike::SilenceWriter(_));
    if case.rounds.iter().flatten().any(silent) {
        let url = servers.rabbitmq.url();
        let url = format!("{url}?heartbeat={AMQP_HEARTBEAT}");
        options.env.insert("RABBIT_URL".into(), url);
    }
    let mut redis_link = None;
    if case
        .rounds
        .iter()
        .flatten()
        .any(|strike| *strike == Strike::SwallowRedis)
    {
        let proxy = Proxy::start(servers.redis.port()).await?;
        options.env.insert("REDIS_URL".into(), proxy.redis_url());
        redis_link = Some(proxy);
    }
    let mut stack = Stack::start(servers, &options).await?;
    stack.redis_link = redis_link;
    let limit = CASE_LIMIT + ROUND_LIMIT * case.rounds.len() as u32;
    let ended = timeout(limit, under_load(case, &mut stack, &mut outcome)).await;
    if let Err(error) = ended.context("the case doesn't end").flatten() {
        outcome.faults.push(format!("{error:#}"));
        // What was lost is worth knowing, whatever else is wrong by now.
        outcome.report = stack.check(Duration::ZERO).await.ok();
    }
    if !outcome.passed() {
        // Where the events got stuck, if they did.
        let queues = stack.servers.rabbitmq.queues().await;
        outcome.logs = format!("queues: {queues:?}\n{}", stack.log_tails(15));
    }
    Ok((outcome, stack.abandon()))
}

async fn under_load(case: &Case, stack: &mut Stack, outcome: &mut Outcome) -> Result<()> {
    stack.ready().await?;
    let identifies = stack.sim.identifies();
    let mut load = stack.start_load(case.rate);
    let commands = Commands::start(stack.servers.rabbitmq.url(), stack.shards);
    let warm = async || stack.collector.ledger().events() > WARM_UP;
    wait::until("events to flow", ARRIVE_LIMIT, warm).await?;

    let mut rng = StdRng::seed_from_u64(case.seed);
    let (mut losses, mut crashes) = (Losses::default(), Vec::new());
    for round in &case.rounds {
        pause(&mut rng).await;
        let begin = Instant::now();
        let applied = one_round(round, stack, &mut rng).await?;
        outcome.recovery = outcome.recovery.max(begin.elapsed());
        if round.iter().any(|strike| strike.may_repeat()) {
            crashes.push((begin, Instant::now()));
        }
        if let Some(applied) = applied {
            pause(&mut rng).await;
            stack.sim.stop_load();
            load.await?;
            let faults = rebuild::rebuild(stack, round, &applied, &mut losses).await?;
            outcome.faults.extend(faults);
            load = stack.start_load(case.rate);
            tokio::time::sleep(AFTER_REBUILD).await;
        }
    }
    stack.sim.stop_load();
    load.await?;
    let published = commands.stop().await;

    let report = stack.check_after(&losses, ARRIVE_LIMIT).await?;
    outcome.faults.extend(report.faults(case.tolerated()));
    outcome.faults.extend(stray_repeats(stack, &crashes));
    let all_taken = async || commands::lost(stack, published).is_empty();
    // Those that are missing after that are counted.
    let _ = wait::until("commands to arrive", COMMANDS_LIMIT, all_taken).await;
    let lost = commands::lost(stack, published);
    outcome.commands = (published, lost.len() as u64);
    if !lost.is_empty() {
        outcome.faults.push(format!("commands lost: {lost:?}"));
    }
    outcome.faults.extend(stack.sim.violations());
    let more = stack.sim.identifies() - identifies;
    let most = case.new_sessions() * u64::from(stack.shards);
    if more > most {
        outcome
            .faults
            .push(format!("{more} new identifies, expected at most {most}"));
    }
    outcome.faults.extend(gaps(stack, more));
    let dead = [rabbit::DEAD_QUEUE.to_owned()];
    let dead = stack.servers.rabbitmq.queue_depths(&dead).await?;
    if let Some(letters) = dead.values().find(|letters| **letters > 0) {
        outcome.faults.push(format!("{letters} dead letters"));
    }
    outcome.report = Some(report);
    Ok(())
}

/// A gap that can't be repaired must be told of on the exchange once, and nothing else may.
fn gaps(stack: &Stack, sessions: u64) -> Option<String> {
    let gaps = stack.collector.ledger().distinct_gaps() as u64;
    (gaps != sessions).then(|| format!("{gaps} gap notices for {sessions} new sessions"))
}

/// Only what was in flight at a crash may come again.
fn stray_repeats(stack: &Stack, crashes: &[(Instant, Instant)]) -> Option<String> {
    let in_flight = |first: &&Instant| {
        crashes
            .iter()
            .any(|(begin, end)| **first + IN_FLIGHT_AGE >= *begin && **first <= *end)
    };
    let ledger = stack.collector.ledger();
    let stray = ledger.repeats.len() - ledger.repeats.iter().filter(in_flight).count();
    (stray > 0).then(|| format!("{stray} repeated that were not in flight at a crash"))
}

async fn pause(rng: &mut StdRng) {
    let pause = Duration::from_millis(rng.random_range(0..MOMENT_MS));
    tokio::time::sleep(pause).await;
}

/// Strikes, puts it right, and waits until all that was sent up to then has arrived. If Redis lost its data, returns for each
/// shard the events that were applied to what it had.
async fn one_round(
    round: &[Strike],
    stack: &mut Stack,
    rng: &mut StdRng,
) -> Result<Option<rebuild::Applied>> {
    let loses = round.contains(&Strike::LoseRedis);
    let before = loses.then(|| rebuild::applied(stack));
    for (n, strike) in round.iter().enumerate() {
        if n > 0 {
            pause(rng).await;
        }
        strike
            .begin(stack)
            .await
            .with_context(|| format!("{strike:?}"))?;
    }
    let duration = round
        .iter()
        .map(|strike| strike.duration())
        .max()
        .unwrap_or_default();
    tokio::time::sleep(duration).await;
    // While Redis is away nothing is applied, and everything that was has been published.
    let during = loses.then(|| rebuild::applied(stack));
    for strike in round {
        strike
            .end(stack)
            .await
            .with_context(|| format!("{strike:?}"))?;
    }
    // A session that was ended has its successor, whose first events are then among those sent.
    let live = async || {
        let sessions = stack.sim.sessions();
        sessions.iter().filter(|session| session.connected).count() == stack.shards as usize
    };
    wait::until("every shard to have a session", ARRIVE_LIMIT, live)
        .await
        .with_context(|| format!("after {round:?}"))?;
    let sent = stack.sent();
    let arrived = stack.arrived(&sent, ARRIVE_LIMIT).await;
    for process in stack.processes() {
        if !process.runs() {
            bail!("{} has ended\n{}", process.name(), process.log_tail(30));
        }
    }
    arrived.with_context(|| format!("after {round:?}"))?;
    Strike::recovered(stack).await?;
    Ok(if super::loses_track(round) {
        before
    } else {
        during
    })
}
