//! A stack whose cache is compared with the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use discord_sim::{Load, Mix};
use redis::cmd;
use serde_json::Value;
use testbed::collector::check::{Expected, Tolerated, compare};
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, Stack};
use testbed::wait;

use super::contents::{Contents, differences};
use super::expected::{Layout, ToldUsers, Truth, counts, tell_users, without_nulls, wrong_users};

pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Differences that a failure shows.
const SHOWN: usize = 5;

/// A running stack, and how its cache is laid out.
pub(crate) struct Bench {
    pub(crate) stack: Stack,
    pub(crate) layout: Layout,
}

/// `shards` shards over `guilds` guilds, with `CACHE_LAYOUT` and messages that expire as by default.
pub(crate) fn options(layout: &str, shards: u32, guilds: u32) -> Options {
    let mut options = Options::new(shards, guilds);
    let env = [("CACHE_LAYOUT", layout), ("STATE_MESSAGE_TTL", "600000")];
    options
        .env
        .extend(env.map(|(name, value)| (name.into(), value.into())));
    options
}

impl Bench {
    /// Servers and a stack on them.
    pub(crate) async fn start(options: &Options) -> Self {
        Self::on(Servers::start(Persistence::None).await.unwrap(), options).await
    }

    /// A stack on servers that are as good as new.
    pub(crate) async fn on(servers: Servers, options: &Options) -> Self {
        let mut layout = Layout::named(&options.env["CACHE_LAYOUT"]);
        let ttl = |name: &str| options.env.get(name).map_or(0, |ttl| ttl.parse().unwrap());
        layout.message_ttl = ttl("STATE_MESSAGE_TTL");
        // A field of a hash can't expire: with the Spectacles layout, alone or beside the other, members stay.
        layout.member_ttl = if layout.spectacles {
            0
        } else {
            ttl("STATE_MEMBER_TTL")
        };
        let mut stack = Stack::start(servers, options).await.unwrap();
        stack.ready().await.unwrap();
        Self { stack, layout }
    }

    /// Ends the services; the servers are as good as new then.
    pub(crate) async fn renewed(self) -> Servers {
        let mut servers = self.stack.stop().await.unwrap();
        servers.renew().await.unwrap();
        servers
    }

    /// Makes events as fast as they are read.
    pub(crate) async fn load(&self, events: u64, mix: Mix) {
        let load = Load {
            events: Some(events),
            mix,
            ..Load::default()
        };
        assert_eq!(self.stack.sim.generate(load).await, events);
    }

    /// Waits until everything that was sent has arrived: the cache has it then.
    pub(crate) async fn settle(&mut self) -> BTreeMap<u32, Vec<Expected>> {
        assert!(self.stack.sim.quiet(LIMIT).await);
        let sent = self.stack.sent();
        if let Err(error) = self.stack.arrived(&sent, LIMIT).await {
            panic!("{error:#}\n{}", self.stack.log_tails(20));
        }
        sent
    }

    /// Settles, and asserts that each event arrived once, in order, with the right `old`, and that Redis holds the truth.
    pub(crate) async fn assert_exact(&mut self) -> Truth {
        self.assert_events(|_| {}).await;
        let truth = self.stack.sim.truth();
        self.assert_cache(&truth).await;
        truth
    }

    /// Settles, and asserts that each event arrived as it is expected after `adapt`.
    pub(crate) async fn assert_events(&mut self, adapt: impl Fn(&mut Expected)) {
        let mut sent = self.settle().await;
        for event in sent.values_mut().flatten() {
            if !self.layout.dispatch {
                event.old = event.old.as_ref().map(without_nulls);
            }
            adapt(event);
        }
        let report = compare(&self.stack.collector.ledger(), &sent);
        let none: Vec<String> = Vec::new();
        assert_eq!(report.faults(Tolerated::default()), none, "{report}");
    }

    /// Asserts that Redis holds exactly `truth`: objects, indexes, counts and times to live.
    pub(crate) async fn assert_cache(&self, truth: &Truth) {
        let redis = &self.stack.servers.redis;
        let (mut main, messages) = (
            Contents::read(redis, 0).await,
            Contents::read(redis, 1).await,
        );
        let mut expected = self.layout.main(truth);
        let (bot, users) = (expected.remove("USERS"), main.values.remove("USERS"));
        let mut wrong = differences(&expected, &main.values);
        let (told, authors) = (self.told_users(), self.authors());
        // The long run keeps no payloads.
        if self.layout.spectacles && !told.is_empty() {
            wrong.extend(wrong_users(truth, bot, users, &told, &authors));
        }
        wrong.extend(differences(&self.layout.messages(truth), &messages.values));
        self.check_ttls(&main, &mut wrong);
        self.check_ttls(&messages, &mut wrong);
        assert!(
            wrong.is_empty(),
            "{} differences: {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(SHOWN)]
        );
        self.assert_counts(&counts(truth)).await;
    }

    /// Members and authors as each shard has told them last.
    fn told_users(&self) -> ToldUsers {
        let mut all = ToldUsers::new();
        for events in self.stack.sent().values() {
            let mut told = BTreeMap::new();
            for event in events.iter().filter(|event| event.deliverable) {
                if let Ok(d) = serde_json::from_str(&event.data) {
                    tell_users(&mut told, &event.name, &d);
                }
            }
            for (id, user) in told {
                all.entry(id).or_default().push(user);
            }
        }
        all
    }

    /// Who wrote messages so far.
    fn authors(&self) -> BTreeSet<String> {
        let sent = self.stack.sent();
        let events = sent
            .values()
            .flatten()
            .filter(|event| event.name.starts_with("MESSAGE_") && event.deliverable);
        events
            .filter_map(|event| serde_json::from_str::<Value>(&event.data).ok())
            .filter_map(|d| Some(d["author"]["id"].as_str()?.to_owned()))
            .collect()
    }

    fn check_ttls(&self, contents: &Contents, wrong: &mut Vec<String>) {
        let Layout {
            message_ttl,
            member_ttl,
            ..
        } = self.layout;
        for (key, left) in &contents.ttls {
            let ttl = match key.to_lowercase().split(':').collect::<Vec<_>>()[..] {
                ["message" | "messages", ..] | ["index", "messages", _] => message_ttl,
                ["member", ..] | ["index", "expiring_members", _] => member_ttl,
                _ => 0,
            };
            let right = if ttl == 0 {
                *left == -1
            } else {
                (1..=ttl).contains(left)
            };
            if !right {
                wrong.push(format!("{key} lives for {left} ms, of {ttl}"));
            }
            let scores = contents.scores.get(key).into_iter().flatten();
            for (id, left) in scores.filter(|(_, left)| ttl != 0 && **left > ttl as f64) {
                wrong.push(format!("{id} of {key} lives for {left} ms, of {ttl}"));
            }
        }
    }

    /// Asserts that `index:counts` and the gauges say these numbers.
    pub(crate) async fn assert_counts(&self, real: &BTreeMap<String, i64>) {
        let mut said = (BTreeMap::new(), BTreeMap::new());
        let same = wait::until("counts and gauges to be right", LIMIT, async || {
            said = (self.counts().await, self.gauges().await);
            said.0 == *real && said.1 == *real
        });
        if same.await.is_err() {
            panic!(
                "counts {:?}, gauges {:?}, but there are {real:?}",
                said.0, said.1
            );
        }
    }

    /// `index:counts`, summed by family; steps that have passed count no more.
    pub(crate) async fn counts(&self) -> BTreeMap<String, i64> {
        let mut redis = self.stack.servers.redis.connection().await.unwrap();
        let fields: BTreeMap<String, i64> = cmd("HGETALL")
            .arg("index:counts")
            .query_async(&mut redis)
            .await
            .unwrap();
        let time: (i64, i64) = cmd("TIME").query_async(&mut redis).await.unwrap();
        let now = time.0 * 1_000 + time.1 / 1_000;
        let mut counts = BTreeMap::new();
        for (field, count) in fields {
            let (plural, until) = field.split_once(':').unwrap_or((&field, "9999999999999"));
            if until.parse::<i64>().unwrap() > now {
                *counts.entry(plural.to_owned()).or_default() += count;
            }
        }
        counts
    }

    async fn gauges(&self) -> BTreeMap<String, i64> {
        let metrics = self.stack.writers[0].metrics().await.unwrap();
        let gauges = metrics.samples.iter().filter(|sample| sample.value != 0.0);
        let gauges = gauges.filter_map(|sample| {
            let plural = sample.name.strip_prefix("state_")?;
            Some((plural.to_owned(), sample.value as i64))
        });
        gauges.collect()
    }

    /// A metric of the writer.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let metrics = self.stack.writers[0].metrics().await.unwrap();
        metrics.sum(name).unwrap_or_default()
    }

    /// Sends a dispatch of a guild on its shard.
    pub(crate) fn tell(&self, guild: u64, name: &str, d: &Value) {
        let shard = (guild >> 22) % u64::from(self.stack.shards);
        let shard = u32::try_from(shard).unwrap();
        assert_eq!(self.stack.sim.inject(shard, name, &d.to_string()), 1);
    }

    /// What Redis holds of one id, in either database.
    pub(crate) async fn mentions(&self, id: u64) -> Vec<String> {
        let redis = &self.stack.servers.redis;
        let mut found = Contents::read(redis, 0).await.mentions(id);
        found.extend(Contents::read(redis, 1).await.mentions(id));
        found
    }
}
