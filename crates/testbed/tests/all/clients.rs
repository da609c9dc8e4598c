//! Clients that nobody here wrote: what people use with twilight-dispatch, unmodified, against the release binaries.

mod bot;
mod spectacles;

use std::path::Path;
use std::time::Duration;

use discord_sim::{Load, Mix};
use serde_json::{Value, json};
use testbed::node::Node;
use testbed::python::Python;
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, Stack};

use bot::Bot;
use spectacles::{Client, EXCHANGE, Numbers, SUBGROUP};

const LIMIT: Duration = Duration::from_secs(60);

/// aio-pika and redis from the Python package index: events with `old`, the cache, a command and its reply.
#[tokio::test(flavor = "multi_thread")]
async fn aio_pika_and_redis() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/clients");
    let folder = tempfile::tempdir().unwrap();
    let requirements = here.join("requirements.txt");
    let python = Python::with_packages(folder.path(), &requirements).await;
    let python = python.unwrap_or_else(|error| panic!("{error:#}"));

    let mut options = Options::new(2, 6);
    options.env.insert("DEFAULT_QUEUE".into(), "true".into());
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut stack = Stack::start(servers, &options).await.unwrap();
    stack.ready().await.unwrap();
    let load = Load {
        events: Some(300),
        rate: Some(500.0),
        mix: Mix::only(&["MESSAGE_CREATE", "MESSAGE_UPDATE"]),
        duration: None,
    };
    stack.sim.generate(load).await;
    assert!(stack.sim.quiet(LIMIT).await);
    stack.arrived(&stack.sent(), LIMIT).await.unwrap();

    let env = [
        ("RABBIT_URL", stack.servers.rabbitmq.url()),
        ("REDIS_URL", stack.servers.redis.url()),
    ];
    let printed = python.run(&here.join("bot.py"), &env, LIMIT).await;
    let printed = printed.unwrap_or_else(|error| panic!("{error:#}\n{}", stack.log_tails(10)));
    let found: Value = serde_json::from_str(&printed).unwrap();
    assert!(found["old_right"].as_u64() > Some(20), "{found}");
    assert_eq!(found["old_wrong"], 0, "{found}");
    assert!(found["messages"].as_u64() > Some(20), "{found}");
    assert_eq!(found["cached"], found["messages"], "{found}");
    assert_eq!(found["reply"]["ok"], true, "{found}");
    let shard = found["reply"]["shard"].as_u64().unwrap();
    let commands = stack.sim.commands_received(u32::try_from(shard).unwrap());
    let sent: Vec<Value> = commands.into_iter().map(|(_, command)| command).collect();
    let voice = json!({"op": 4, "d": {
        "guild_id": found["guild"], "channel_id": null, "self_mute": false, "self_deaf": false,
    }});
    assert_eq!(sent, [voice]);
    stack.stop().await.unwrap();
}

/// The clients of Spectacles from the npm registry, each with the encoding that it has by default; then one whose codec is
/// Erlang's own term format as the author of erlang_py reads it.
#[tokio::test(flavor = "multi_thread")]
async fn spectacles_clients() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/clients");
    let folder = tempfile::tempdir().unwrap();
    let node = Node::with_packages(folder.path(), &here).await;
    let node = node.unwrap_or_else(|error| panic!("{error:#}"));
    let python = Python::with_packages(folder.path(), &here.join("requirements.txt")).await;
    let python = python.unwrap_or_else(|error| panic!("{error:#}"));

    let mut servers = Servers::start(Persistence::None).await.unwrap();
    for (library, encoding) in [
        ("brokers-0-4", "json"),
        ("brokers-0-8", "json"),
        ("brokers-0-9", "msgpack"),
    ] {
        let mut command = node.command(&here.join("spectacles.js"));
        command.args([library, &address(&servers), EXCHANGE, SUBGROUP]);
        let client = Client {
            bot: Bot::start(&mut command, folder.path()).unwrap(),
            encoding,
            subgroups: &["", SUBGROUP],
            numbers: Numbers::Floats,
        };
        let served = client.check(servers).await;
        servers = served.unwrap_or_else(|error| panic!("{library}: {error:?}"));
        servers.renew().await.unwrap();
    }
    let mut command = python.command(&here.join("etf.py"));
    command.args([&address(&servers), EXCHANGE]);
    let client = Client {
        bot: Bot::start(&mut command, folder.path()).unwrap(),
        encoding: "etf",
        subgroups: &[""],
        numbers: Numbers::Exact,
    };
    let served = client.check(servers).await;
    served.unwrap_or_else(|error| panic!("erlang_py: {error:?}"));
}

/// Where RabbitMQ is, as these clients take it: without the scheme.
fn address(servers: &Servers) -> String {
    let url = servers.rabbitmq.url();
    url.strip_prefix("amqp://").unwrap().to_owned()
}
