//! Replicas come, go, die and freeze at random, while servers fail and Discord sends them away.
//!
//! `REPLICAS_SEED=N` runs that seed instead of those of every run.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use discord_sim::{Fault, Scope};
use dispatch_proto::notice::{Gap, GapReason};
use futures_util::future::join_all;
use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, IteratorRandom},
};
use tokio::time::{interval, sleep};

use super::*;

/// The seeds of every run, side by side.
const SEEDS: [u64; 2] = [4, 6];
const ROUNDS: usize = 3;
const SHARDS: u32 = 8;
/// At most so many replicas run.
const MOST: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_and_goes_nothing_is_lost() {
    let seeds = match std::env::var("REPLICAS_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => SEEDS.to_vec(),
    };
    join_all(seeds.into_iter().map(run)).await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Start,
    Stop,
    Kill,
    KillTwo,
    KillAll,
    StartAndKill,
    Freeze,
    FreezeUntilReplaced,
    KillRabbitMq,
    KillRedis,
    FreezeRedis,
    Drop,
    Reconnect,
    InvalidResumable,
    InvalidSession,
    KillWriter,
    KillRouter,
}

/// Starts as often as ends.
const CHANGES: [Change; 21] = [
    Change::Start,
    Change::Start,
    Change::Start,
    Change::Start,
    Change::Start,
    Change::Stop,
    Change::Kill,
    Change::KillTwo,
    Change::KillAll,
    Change::StartAndKill,
    Change::Freeze,
    Change::FreezeUntilReplaced,
    Change::KillRabbitMq,
    Change::KillRedis,
    Change::FreezeRedis,
    Change::Drop,
    Change::Reconnect,
    Change::InvalidResumable,
    Change::InvalidSession,
    Change::KillWriter,
    Change::KillRouter,
];

async fn run(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut options = Options::new(SHARDS, 24);
    options.writers = 2;
    options.sim.world.seed = seed;
    options.sim.max_concurrency = 2;
    options.sim.identify_interval = Duration::from_secs(1);
    let servers = Servers::start(Persistence::EveryWrite).await.unwrap();
    let mut replicas = Replicas::on(servers, options).await;
    replicas.stack.ready().await.unwrap();
    replicas.add();
    replicas.add();
    let load = replicas.stack.start_load(100.0);
    let commands = Commands::start(replicas.stack.servers.rabbitmq.url(), SHARDS);
    let seen = Views::watch(&replicas.stack.servers.redis.url(), SHARDS);
    let (mut crashes, mut ended, mut restarted) = (0, 0, false);
    for round in 0..ROUNDS {
        let count = rng.random_range(2..=3);
        let mut even = 2 * EVEN;
        for _ in 0..count {
            let change = *CHANGES.choose(&mut rng).unwrap();
            eprintln!("seed {seed}, round {round}: {change:?}");
            if matches!(change, Change::KillRabbitMq | Change::KillWriter) {
                crashes += 1;
            }
            if change == Change::KillRabbitMq {
                even = LIMIT;
            }
            ended += replicas.change(change, &mut rng).await;
            // None was there, or none could say so.
            restarted |= matches!(change, Change::KillAll | Change::FreezeRedis);
            restarted |= replicas.running().is_empty();
            sleep(Duration::from_millis(rng.random_range(0..1_500))).await;
        }
        if replicas.running().is_empty() {
            replicas.start_one();
        }
        let began = Instant::now();
        replicas.even(even).await;
        eprintln!(
            "seed {seed}, round {round}: even after {:?}",
            began.elapsed()
        );
    }
    replicas.stack.sim.stop_load();
    load.await.unwrap();
    let published = commands.stop().await;
    let arrived = wait::until("all commands to arrive", LIMIT, async || {
        commands::lost(&replicas.stack, published).is_empty()
    });
    arrived.await.unwrap();

    let (report, gaps) = replicas.check_beside_gaps().await;
    let faults = report.faults(Tolerated {
        crashes,
        ..Tolerated::default()
    });
    assert_eq!(
        faults,
        Vec::<String>::new(),
        "{report}\n{}",
        replicas.logs()
    );
    let begun = replicas.stack.sim.identifies() - u64::from(SHARDS);
    eprintln!(
        "seed {seed}: {} events, {ended} sessions ended by Discord, {begun} begun, {gaps} gaps",
        report.events
    );
    // A replica that dies between an identify and its READY leaves a session to nobody.
    assert!(gaps <= ended && (ended..=2 * ended).contains(&(begun as usize)));
    assert_eq!(replicas.stack.sim.violations(), Vec::<String>::new());
    let excused: &[&str] = match (restarted, ended > 0) {
        (false, false) => &[],
        (true, false) => &["gateway_started"],
        (false, true) => &["gateway_sessions"],
        (true, true) => &["gateway_started", "gateway_sessions"],
    };
    assert_eq!(seen.problems(excused).await, Vec::<String>::new());
}

impl Replicas {
    /// Returns how many sessions Discord has ended.
    async fn change(&mut self, change: Change, rng: &mut StdRng) -> usize {
        let running = self.running();
        let one = running.iter().choose(rng).copied();
        match change {
            Change::Start => self.start_one(),
            Change::Stop => {
                if let Some(one) = one {
                    // One that has just started does not hear it yet.
                    self.replica(one).ready(LIMIT).await.unwrap();
                    self.replica(one).stop(STOP).await.unwrap();
                }
            }
            Change::Kill => {
                if let Some(one) = one {
                    self.replica(one).kill9();
                }
            }
            Change::KillTwo => {
                for one in running.iter().copied().choose_multiple(rng, 2) {
                    self.replica(one).kill9();
                    sleep(Duration::from_millis(rng.random_range(0..1_000))).await;
                }
            }
            Change::KillAll => {
                for one in &running {
                    self.replica(*one).kill9();
                }
                for one in running {
                    self.replica(one).restart().unwrap();
                }
            }
            Change::StartAndKill => {
                self.start_one();
                sleep(Duration::from_millis(rng.random_range(0..1_500))).await;
                let newest = self.running().pop().unwrap();
                self.replica(newest).kill9();
            }
            Change::Freeze => {
                if let Some(one) = one {
                    self.replica(one).sigstop();
                    sleep(Duration::from_millis(rng.random_range(500..6_000))).await;
                    self.replica(one).sigcont();
                }
            }
            Change::FreezeUntilReplaced => {
                if let (Some(one), true) = (one, running.len() > 1) {
                    self.replica(one).sigstop();
                    self.held_without(one).await;
                    self.replica(one).sigcont();
                }
            }
            Change::KillRabbitMq => {
                self.stack.servers.rabbitmq.kill();
                self.stack.servers.rabbitmq.restart().await.unwrap();
            }
            Change::KillRedis => {
                self.stack.servers.redis.kill();
                sleep(Duration::from_millis(rng.random_range(0..3_000))).await;
                self.stack.servers.redis.restart().await.unwrap();
            }
            Change::FreezeRedis => {
                self.stack.servers.redis.freeze();
                sleep(Duration::from_millis(rng.random_range(500..10_000))).await;
                self.stack.servers.redis.wake();
            }
            Change::Drop => self.discord(Fault::Drop, Scope::All),
            Change::Reconnect => self.discord(Fault::Reconnect, Scope::All),
            Change::InvalidResumable => {
                self.discord(Fault::InvalidSession { resumable: true }, Scope::All);
            }
            Change::InvalidSession => {
                let fault = Fault::InvalidSession { resumable: false };
                let shard = Scope::Shard(rng.random_range(0..SHARDS));
                return self.stack.sim.fault(fault, shard);
            }
            Change::KillWriter => {
                let writer = self.stack.writers.iter_mut().choose(rng).unwrap();
                writer.kill9();
                sleep(Duration::from_millis(rng.random_range(0..1_000))).await;
                writer.restart().unwrap();
            }
            Change::KillRouter => {
                self.stack.router.kill9();
                self.stack.router.restart().unwrap();
            }
        }
        0
    }

    fn discord(&self, fault: Fault, scope: Scope) {
        self.stack.sim.fault(fault, scope);
    }

    fn replica(&mut self, n: usize) -> &mut Process {
        self.all().nth(n).unwrap()
    }

    fn running(&mut self) -> Vec<usize> {
        let runs = self.all().map(Process::runs).enumerate();
        runs.filter_map(|(n, runs)| runs.then_some(n)).collect()
    }

    /// One that has ended, or another one.
    fn start_one(&mut self) {
        let ended = self.all().position(|replica| !replica.runs());
        match ended {
            Some(ended) => self.replica(ended).restart().unwrap(),
            None if self.more.len() + 1 < MOST => self.add(),
            None => {}
        }
    }

    /// Waits until the others hold all shards.
    pub(super) async fn held_without(&mut self, frozen: usize) {
        let total = self.stack.shards;
        let held = wait::until("the others to hold all", LIMIT, async || {
            let mut held = 0;
            for (n, replica) in self.all().enumerate() {
                if n != frozen && replica.runs() {
                    held += replica.shards_connected().await.unwrap_or_default();
                }
            }
            held == total
        });
        let held = held.await;
        assert!(held.is_ok(), "{held:?}\n{}", self.logs());
    }

    /// Compares everything but what the gap notices name, which Discord could not send again; returns how many notices
    /// there are too.
    pub(super) async fn check_beside_gaps(&mut self) -> (Report, usize) {
        self.stack.sim.quiet(LIMIT).await;
        let arrived = wait::until("all but the gaps to arrive", LIMIT, async || {
            let (sent, _) = self.sent_beside_gaps();
            self.stack.arrived(&sent, Duration::ZERO).await.is_ok()
        });
        // The report says what is missing.
        let _ = arrived.await;
        let (mut sent, gaps) = self.sent_beside_gaps();
        // An exact cache that was never told of it.
        let truth = Losses::default().retell(&mut sent);
        let mut redis = self.stack.servers.redis.connection().await.unwrap();
        let check = self.stack.collector.check(&sent, &truth, &mut redis);
        (check.await.unwrap(), gaps)
    }

    fn sent_beside_gaps(&self) -> (BTreeMap<u32, Vec<Expected>>, usize) {
        let mut sent = self.stack.sent();
        let mut gaps: Vec<Gap> = Vec::new();
        for notice in &self.stack.collector.ledger().gaps {
            let gap = serde_json::from_value(notice["d"].clone()).unwrap();
            if !gaps.contains(&gap) {
                gaps.push(gap);
            }
        }
        for gap in &gaps {
            assert_eq!(gap.reason, GapReason::SessionReplaced);
            let events = sent.get_mut(&gap.shard).unwrap();
            let place = |session: &str, seq| {
                let at = |event: &Expected| event.session == session && event.seq == seq;
                events.iter().rposition(at).unwrap()
            };
            let last = place(&gap.last_session, gap.last_sequence);
            let next = place(&gap.next_session, gap.next_sequence);
            for event in &mut events[last + 1..next] {
                event.deliverable = false;
            }
        }
        (sent, gaps.len())
    }
}

/// Looks ten times a second at what stands on Redis for others.
struct Views {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<(&'static str, String)>>,
}

impl Views {
    fn watch(url: &str, shards: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, url) = (stop.clone(), url.to_owned());
        let task = tokio::spawn(async move {
            let (mut redis, mut started) = (None, None);
            let mut problems = Vec::new();
            let mut tick = interval(Duration::from_millis(100));
            while !stopped.load(Ordering::Relaxed) {
                tick.tick().await;
                if redis.is_none() {
                    redis = testbed::servers::redis_connection(&url).await.ok();
                }
                let Some(connection) = &mut redis else {
                    continue;
                };
                const KEYS: [&str; 4] = [
                    "gateway_shards",
                    "gateway_started",
                    "gateway_statuses",
                    "gateway_sessions",
                ];
                let mut asked = redis::cmd("MGET");
                let values: redis::RedisResult<Vec<Option<String>>> =
                    asked.arg(&KEYS).query_async(connection).await;
                // It is away.
                let Ok(values) = values else {
                    redis = None;
                    continue;
                };
                let all: Vec<u64> = (0..shards.into()).collect();
                let whole = [
                    values[0] == Some(shards.to_string()),
                    values[1].is_some() && values[1] == started,
                    listed(values[2].as_deref()) == all,
                    listed(values[3].as_deref()) == all,
                ];
                if started.is_none() {
                    // They are whole once the first replica has said all, and from then on.
                    if whole[0] && whole[2] && whole[3] {
                        started.clone_from(&values[1]);
                    }
                    continue;
                }
                let wrong = whole
                    .iter()
                    .zip(KEYS)
                    .zip(values)
                    .filter(|((ok, _), _)| !**ok);
                problems.extend(wrong.map(|((_, key), value)| (key, format!("{value:?}"))));
            }
            problems
        });
        Self { stop, task }
    }

    /// What was not whole, or changed. `excused`: keys that may have been so, because there is no session or no process any more.
    async fn problems(self, excused: &[&str]) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let problems = self.task.await.unwrap().into_iter();
        problems
            .filter(|(key, _)| !excused.contains(key))
            .map(|(key, value)| format!("{key}: {value}"))
            .collect()
    }
}

fn listed(entries: Option<&str>) -> Vec<u64> {
    let entries: Vec<Value> = serde_json::from_str(entries.unwrap_or("[]")).unwrap();
    let shards = entries.iter().filter_map(|entry| entry["shard"].as_u64());
    shards.collect()
}
