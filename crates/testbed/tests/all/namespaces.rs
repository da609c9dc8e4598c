//! Several bots on the same servers: side by side with a `NAMESPACE` each, refused without.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use discord_sim::{Load, Mix, Sim};
use dispatch_proto::namespace::Namespace;
use lapin::{BasicProperties, options::QueueDeclareOptions, types::FieldTable};
use redis::AsyncCommands as _;
use serde_json::{Value, json};
use testbed::{
    binaries::Service,
    collector::{Collector, check::Tolerated},
    process::Process,
    servers::{Persistence, Servers},
    stack::{Options, Stack},
    wait,
};

use crate::bot::Bot;

const LIMIT: Duration = Duration::from_secs(60);
const SHARDS: u32 = 2;
const EVENTS: u64 = 1_200;
/// Exit code of a refusal.
const REFUSED: i32 = 3;

/// A token as Discord makes them, of the bot with this id.
fn token(bot: u64, secret: &str) -> String {
    format!("{}.G.{secret}", STANDARD_NO_PAD.encode(bot.to_string()))
}

fn options(seed: u64, token: String, env: &[(&str, &str)]) -> Options {
    let mut options = Options::new(SHARDS, 8);
    options.sim.world.seed = seed;
    options.sim.token = token;
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    options.env.extend(env);
    options
}

/// Another bot's services, on the servers of a stack.
struct Second {
    sim: Sim,
    env: BTreeMap<String, String>,
    name: &'static str,
}

impl Second {
    async fn new(stack: &Stack, options: &Options, name: &'static str) -> Self {
        let sim = Sim::start(options.sim.clone()).await.unwrap();
        let mut env = options.connected_to(&stack.servers, &sim);
        env.extend(options.env.clone());
        Self { sim, env, name }
    }

    fn start(&self, stack: &Stack, service: Service) -> Process {
        let name = format!("{}-{service:?}", self.name);
        Process::start(service, &name, stack.servers.dir(), &self.env).unwrap()
    }
}

/// Two bots with both cache layouts, Spectacles and the default queue, so that every name there is is in use.
#[tokio::test(flavor = "multi_thread")]
async fn two_bots_with_namespaces_share_servers() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let env = |namespace| {
        [
            ("NAMESPACE", namespace),
            ("CACHE_LAYOUT", "both"),
            ("SPECTACLES_EXCHANGE", "spec"),
            ("DEFAULT_QUEUE", "true"),
        ]
    };
    let first = options(1, token(11, "x"), &env("first"));
    let mut stack = Stack::start(servers, &first).await.unwrap();
    let second = options(2, token(22, "x"), &env("second-bot"));
    let second = Second::new(&stack, &second, "second").await;
    let namespace: Namespace = "second-bot".parse().unwrap();
    let url = stack.servers.rabbitmq.url();
    let collector = Collector::start_within(&url, namespace).await.unwrap();
    let mut services = [
        Service::CacheWriter,
        Service::CommandRouter,
        Service::GatewayIngest,
    ]
    .map(|service| second.start(&stack, service));
    stack.ready().await.unwrap();
    for service in &mut services {
        service.ready(LIMIT).await.unwrap();
    }

    let load = || Load {
        events: Some(EVENTS),
        rate: Some(600.0),
        mix: Mix::realistic(),
        duration: None,
    };
    tokio::join!(stack.sim.generate(load()), second.sim.generate(load()));
    stack.check_exact(LIMIT).await.unwrap();
    assert!(second.sim.quiet(LIMIT).await);
    let sent = (0..SHARDS).map(|shard| {
        let sent = second.sim.sent(shard).into_iter();
        (shard, sent.map(Into::into).collect())
    });
    let sent = sent.collect();
    let mut redis = stack.servers.redis.connection().await.unwrap();
    let mut report = None;
    let settled = wait::until("the second bot's events", LIMIT, async || {
        let truth = second.sim.truth();
        let now = collector.check(&sent, &truth, &mut redis).await.unwrap();
        let faults = now.faults(Tolerated::default());
        report = Some(format!("{now}"));
        faults.is_empty()
    });
    settled
        .await
        .unwrap_or_else(|error| panic!("{error}: {report:?}"));

    commands_reach_their_own_bot(&stack, &second.sim).await;
    every_name_has_a_namespace(&stack).await;

    for service in &mut services {
        service.stop(LIMIT).await.unwrap();
    }
    stack.stop().await.unwrap();
}

async fn commands_reach_their_own_bot(stack: &Stack, second: &Sim) {
    let bot = Bot::connect(&stack.servers.rabbitmq.url()).await.unwrap();
    let presence = |name: &str| {
        let activity = json!({"name": name, "type": 0});
        json!({"op": 3, "d": {"since": null, "activities": [activity], "status": "idle", "afk": false}})
    };
    for (namespace, sim) in [("first", &stack.sim), ("second-bot", second)] {
        let plain = BasicProperties::default();
        let packet = presence(namespace);
        let command = json!({"op": 0, "shard": 0, "data": packet}).to_string();
        let queue = format!("{namespace}:gateway.send");
        // A reply goes to the queue that its asker names, whatever that is called.
        let exclusive = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let replies = bot
            .channel()
            .queue_declare("".into(), exclusive, FieldTable::default());
        let replies = replies.await.unwrap().name().clone();
        let asking = plain.clone().with_reply_to(replies.clone());
        bot.publish("", &queue, asking, command.as_bytes())
            .await
            .unwrap();
        let reply = bot.next(replies.as_str()).await.unwrap();
        let reply: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply, json!({"ok": true, "shard": 0}));
        let spectacles = presence("by spectacles");
        bot.publish(
            &format!("{namespace}:spec"),
            "1",
            plain.clone(),
            spectacles.to_string().as_bytes(),
        )
        .await
        .unwrap();
        let received = async || {
            let has = |shard, packet: &Value| {
                let commands = sim.commands_received(shard);
                commands.iter().any(|(_, command)| command == packet)
            };
            has(0, &packet) && has(1, &spectacles)
        };
        wait::until("the commands", LIMIT, received).await.unwrap();
        // The source of a dead letter is the queue's name as its reader knows it.
        bot.publish("", &queue, plain, b"{").await.unwrap();
        let dead = bot
            .next(&format!("{namespace}:gateway.dead"))
            .await
            .unwrap();
        assert_eq!((dead.header("source"), &*dead.body), (&*queue, &b"{"[..]));
        let first = bot.next(&format!("{namespace}:gateway.recv")).await;
        assert_eq!(first.unwrap().header("seq"), "1");
    }
}

async fn every_name_has_a_namespace(stack: &Stack) {
    let mut names: Vec<String> = stack
        .servers
        .rabbitmq
        .queues()
        .await
        .unwrap()
        .into_keys()
        .collect();
    let exchanges = stack
        .servers
        .rabbitmq
        .eval("lists:flatten(lists:join(\",\", [binary_to_list(element(4, element(2, X))) || X <- rabbit_exchange:list()])).")
        .await
        .unwrap();
    let exchanges = exchanges.trim().trim_matches('"').split(',');
    let ours = exchanges.filter(|name| !name.is_empty() && !name.starts_with("amq."));
    names.extend(ours.map(str::to_owned));
    for database in [0, 1] {
        let mut redis = stack.servers.redis.connection().await.unwrap();
        let select = redis::cmd("SELECT").arg(database).take();
        select.exec_async(&mut redis).await.unwrap();
        let keys: Vec<String> = redis.keys("*").await.unwrap();
        names.extend(keys);
    }
    for namespace in ["first:", "second-bot:"] {
        let count = names.iter().filter(|name| name.starts_with(namespace));
        assert!(count.count() > 100, "{names:?}");
        for name in [
            "gateway",
            "gateway.recv",
            "gateway.send",
            "gateway.raw.0",
            "gateway:0",
            "gateway.owner.0",
            "gateway.owner.router",
            "gateway_sessions",
            "gateway_shards",
            "dispatch:bot",
            "dispatch:partition:0:applied",
            "index:counts",
            "bot_user",
            "USERS",
            "spec",
            "spec:SEND",
        ] {
            let name = format!("{namespace}{name}");
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
    }
    let has_none = |name: &&String| !name.starts_with("first:") && !name.starts_with("second-bot:");
    let bare: Vec<_> = names.iter().filter(has_none).collect();
    assert_eq!(bare, Vec::<&String>::new());
}

/// Without a namespace the second bot's services end, each with an error that says what to do; the first bot does not notice. A
/// new token of the first bot is no other bot.
#[tokio::test(flavor = "multi_thread")]
async fn two_bots_without_namespaces_are_refused() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let first = options(1, token(11, "x"), &[]);
    let mut stack = Stack::start(servers, &first).await.unwrap();
    stack.ready().await.unwrap();
    let second = options(2, token(22, "x"), &[]);
    let second = Second::new(&stack, &second, "second").await;
    for service in [
        Service::GatewayIngest,
        Service::CacheWriter,
        Service::CommandRouter,
    ] {
        let mut process = second.start(&stack, service);
        refused(&mut process).await;
    }
    assert_eq!(second.sim.identifies(), 0);

    let rotated = options(1, token(11, "another"), &[]);
    let rotated = Second::new(&stack, &rotated, "rotated").await;
    let mut standby = rotated.start(&stack, Service::GatewayIngest);
    standby.ready(LIMIT).await.unwrap();
    standby.stop(LIMIT).await.unwrap();
    stack.check_exact(LIMIT).await.unwrap();

    // A bot that stands in twilight-dispatch's state.
    let user = stack.sim.truth()["bot_user"]["id"].clone();
    let ours: u64 = user.as_str().unwrap().parse().unwrap();
    let servers = stack.stop().await.unwrap();
    let mut redis = servers.redis.connection().await.unwrap();
    let flush = redis::cmd("FLUSHALL");
    flush.exec_async(&mut redis).await.unwrap();
    for (in_redis, goes_on) in [(ours + 1, false), (ours, true)] {
        let user = json!({"id": in_redis.to_string(), "name": "bot", "bot": true});
        let _: () = redis.set("bot_user", user.to_string()).await.unwrap();
        let options = options(2, token(ours, "x"), &[]);
        let sim = Sim::start(options.sim.clone()).await.unwrap();
        let mut env = options.connected_to(&servers, &sim);
        env.extend(options.env.clone());
        let mut process =
            Process::start(Service::GatewayIngest, "follower", servers.dir(), &env).unwrap();
        if goes_on {
            process.ready(LIMIT).await.unwrap();
            process.stop(LIMIT).await.unwrap();
        } else {
            refused(&mut process).await;
            assert_eq!(sim.identifies(), 0);
        }
    }
}

async fn refused(process: &mut Process) {
    let status = process.wait_exit(LIMIT).await.unwrap();
    let log = process.log_tail(20);
    assert_eq!(status.code(), Some(REFUSED), "{log}");
    assert!(log.contains("set NAMESPACE"), "{log}");
}
