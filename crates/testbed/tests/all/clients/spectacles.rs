//! One client of the Spectacles exchange, from its first event to its last command.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use discord_sim::generator::{DISPATCH_TYPES, UNKNOWN_TYPE};
use discord_sim::{Load, Mix};
use dispatch_proto::partition::shard_of;
use dispatch_proto::rabbit::DEAD_QUEUE;
use dispatch_service::topology::counts;
use lapin::{Connection, ConnectionProperties};
use serde_json::{Value, json};
use testbed::collector::check::Expected;
use testbed::servers::Servers;
use testbed::stack::{Options, Stack};
use testbed::wait;

use crate::clients::bot::{Bot, Received};

/// Name of the exchange.
pub(crate) const EXCHANGE: &str = "spectacles";
/// A second group of consumers.
pub(crate) const SUBGROUP: &str = "workers";

const LIMIT: Duration = Duration::from_secs(30);
/// Events of each run. Enough for most kinds to occur.
const EVENTS: u64 = 800;

/// How a bot's language tells numbers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// All are floats.
    Floats,
    /// Integers of any size are integers.
    Exact,
}

/// What the bot does, and what it reads.
pub(crate) struct Client {
    pub(crate) bot: Bot,
    /// The value of `SPECTACLES_ENCODING` that suits it.
    pub(crate) encoding: &'static str,
    /// The subgroups that it listens for; the empty one is none.
    pub(crate) subgroups: &'static [&'static str],
    pub(crate) numbers: Numbers,
}

impl Client {
    /// Runs the services for it, and checks everything that it is promised.
    pub(crate) async fn check(mut self, servers: Servers) -> Result<Servers> {
        let mut options = Options::new(2, 6);
        let settings = [
            ("SPECTACLES_EXCHANGE", EXCHANGE),
            ("SPECTACLES_ENCODING", self.encoding),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        options.env.extend(settings);
        // Before the services: it misses nothing then.
        self.bot.have("listen", json!(events())).await?;
        let mut stack = Stack::start(servers, &options).await?;
        stack.ready().await?;
        self.serve(&stack)
            .await
            .map_err(|error| error.context(stack.log_tails(10)))?;
        stack.stop().await
    }

    async fn serve(mut self, stack: &Stack) -> Result<()> {
        self.commands(stack).await?;
        generate(stack, Mix::realistic(), EVENTS).await?;
        self.receives_all(stack).await?;
        if self.subgroups.len() > 1 {
            self.pauses(stack).await?;
        }
        let sent = deliverable(stack);
        let received = self.bot.end().await?;
        for subgroup in self.subgroups {
            for event in events() {
                let key = ((*subgroup).to_owned(), event.to_owned());
                same(&received, &key, &sent, self.numbers).with_context(|| format!("{key:?}"))?;
                let (messages, consumers) = queue(stack, &name(subgroup, event)).await?;
                ensure!((messages, consumers) == (0, 0), "{key:?}: not acknowledged");
            }
        }
        ensure!(stack.sim.violations().is_empty());
        Ok(())
    }

    async fn receives_all(&mut self, stack: &Stack) -> Result<()> {
        let sent: usize = deliverable(stack).values().map(Vec::len).sum();
        self.bot.receives(sent * self.subgroups.len()).await
    }

    /// What comes while it has unsubscribed waits for it.
    async fn pauses(&mut self, stack: &Stack) -> Result<()> {
        let event = "MESSAGE_CREATE";
        let messages = |stack: &Stack| {
            let sent = deliverable(stack);
            let sent = sent.values().flatten();
            sent.filter(|sent| sent.name == event).count()
        };
        self.bot.have("unsubscribe", json!([event])).await?;
        let before = messages(stack);
        generate(stack, Mix::only(&[event]), 50).await?;
        let missed = messages(stack) - before;
        ensure!(missed > 0);
        let mut found = Ok((0, 0));
        wait::until("what waits in the queue", LIMIT, async || {
            found = queue(stack, &name("", event)).await;
            matches!(found, Ok((waiting, 0)) if waiting as usize == missed)
        })
        .await
        .with_context(|| format!("{found:?}"))?;
        self.bot.have("subscribe", json!([event])).await?;
        self.receives_all(stack).await
    }

    /// Commands of all kinds arrive; those who call get an answer that they can read.
    async fn commands(&mut self, stack: &Stack) -> Result<()> {
        let truth = stack.sim.truth();
        let guild = truth.keys().find_map(|key| key.strip_prefix("guild:"));
        let guild = guild.context("a guild")?;
        let owner = shard_of(guild.parse()?, stack.shards).context("its shard")?;
        let send = |packet: &Value| json!(["SEND", {"guild_id": guild, "packet": packet}]);
        let mut expected = BTreeMap::from([(0, Vec::new()), (1, Vec::new())]);
        let mut expect = |shard: u32, packet: Value| {
            expected.entry(shard).or_default().push(packet.to_string());
            packet
        };

        let published = json!([
            send(&expect(owner, members(guild, "published"))),
            ["0", expect(0, presence("published"))],
            ["1", expect(1, presence("expires")), {"expiration": 60_000}],
        ]);
        self.bot.have("publish", published).await?;
        let identify = json!({"op": 2, "d": {"token": "…"}});
        let called = json!([
            send(&expect(owner, members(guild, "called"))),
            ["0", expect(0, presence("called"))],
            ["1", expect(1, presence("called, expires")), {"expiration": 60_000}],
            send(&identify),
            ["1", {"op": 3}],
        ]);
        let answers = self.bot.have("call", called).await?;
        for (answer, shard) in [owner, 0, 1].into_iter().enumerate() {
            ensure!(
                answers[answer] == json!({"ok": true, "shard": shard}),
                "{answers}"
            );
        }
        for (answer, reason) in [
            (3, "opcode 2 can't be sent"),
            (4, "the packet's d is missing"),
        ] {
            ensure!(answers[answer]["ok"] == false, "{answers}");
            let error = answers[answer]["error"].as_str().unwrap_or_default();
            ensure!(error.starts_with(reason), "{answers}");
        }
        // The two that are refused, and nothing else.
        ensure!(queue(stack, DEAD_QUEUE).await?.0 == 2);

        for (shard, mut expected) in expected {
            expected.sort();
            let mut arrived = Vec::new();
            wait::until("the commands at discord", LIMIT, async || {
                let commands = stack.sim.commands_received(shard).into_iter();
                arrived = commands.map(|(_, command)| command.to_string()).collect();
                arrived.sort();
                arrived == expected
            })
            .await
            .with_context(|| format!("shard {shard}: {arrived:#?}, not {expected:#?}"))?;
        }
        Ok(())
    }
}

fn members(guild: &str, nonce: &str) -> Value {
    json!({"op": 8, "d": {"guild_id": guild, "query": "a", "limit": 1, "nonce": nonce}})
}

/// With a number that 32 bits don't hold.
fn presence(name: &str) -> Value {
    json!({"op": 3, "d": {
        "since": 1_700_000_000_123_u64, "activities": [{"name": name, "type": 0}], "status": "idle", "afk": false,
    }})
}

/// Every event there is, and one that no library knows.
fn events() -> Vec<&'static str> {
    DISPATCH_TYPES.into_iter().chain([UNKNOWN_TYPE]).collect()
}

/// The name that clients give an event's queue.
fn name(subgroup: &str, event: &str) -> String {
    match subgroup {
        "" => format!("{EXCHANGE}:{event}"),
        subgroup => format!("{EXCHANGE}:{subgroup}:{event}"),
    }
}

async fn generate(stack: &Stack, mix: Mix, events: u64) -> Result<()> {
    let load = Load {
        events: Some(events),
        rate: Some(1_000.0),
        mix,
        duration: None,
    };
    ensure!(stack.sim.generate(load).await == events);
    ensure!(stack.sim.quiet(LIMIT).await, "not everything has been sent");
    Ok(())
}

/// What was sent and must have arrived, by shard.
fn deliverable(stack: &Stack) -> BTreeMap<u32, Vec<Expected>> {
    let mut sent = stack.sent();
    for sent in sent.values_mut() {
        sent.retain(|event| event.deliverable);
    }
    sent
}

/// Messages that wait in a queue, and consumers that it has.
async fn queue(stack: &Stack, name: &str) -> Result<(u32, u32)> {
    let url = stack.servers.rabbitmq.url();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let counts = counts(&channel, name).await?;
    Ok((counts.messages, counts.consumers))
}

/// Each shard's events have come unchanged and in its order, and nothing else has.
fn same(
    received: &Received,
    key: &(String, String),
    sent: &BTreeMap<u32, Vec<Expected>>,
    numbers: Numbers,
) -> Result<()> {
    let mut shards: Vec<VecDeque<Value>> = Vec::new();
    for sent in sent.values() {
        let of_event = sent.iter().filter(|event| event.name == key.1);
        let data = of_event.map(|event| Ok(as_read(serde_json::from_str(&event.data)?, numbers)));
        shards.push(data.collect::<Result<_>>()?);
    }
    for data in received.get(key).into_iter().flatten() {
        let data = as_read(data.clone(), numbers);
        let next = |shard: &&mut VecDeque<Value>| shard.front() == Some(&data);
        let Some(shard) = shards.iter_mut().find(next) else {
            let expected: Vec<_> = shards.iter().map(VecDeque::front).collect();
            anyhow::bail!("{data}, not {expected:#?}");
        };
        shard.pop_front();
    }
    ensure!(
        shards.iter().all(VecDeque::is_empty),
        "missing: {shards:#?}"
    );
    Ok(())
}

/// A value as a language reads it that tells numbers apart in this way.
fn as_read(value: Value, numbers: Numbers) -> Value {
    match value {
        Value::Number(number) if numbers == Numbers::Floats => json!(number.as_f64()),
        Value::Array(items) => items
            .into_iter()
            .map(|item| as_read(item, numbers))
            .collect(),
        Value::Object(entries) => {
            let read = |(key, value)| (key, as_read(value, numbers));
            entries.into_iter().map(read).collect()
        }
        other => other,
    }
}
