//! The consumers in `deploy/examples`, as a user runs them: they print states before, get a reply to a command, and go on after
//! a crash of RabbitMQ.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use discord_sim::{Action, Load, Mix};
use serde_json::{Value, json};
use testbed::{
    binaries::workspace,
    node::Node,
    python::Python,
    servers::{Persistence, Servers},
    stack::{Options, Stack},
    wait,
};
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(90);

/// A running example and what it prints.
struct Example {
    name: &'static str,
    log: PathBuf,
    /// Ends with it.
    _process: Child,
}

impl Example {
    fn start(name: &'static str, mut command: Command, url: &str, dir: &Path) -> Self {
        let log = dir.join(format!("{name}.log"));
        let output = fs::File::create(&log).unwrap();
        let process = command
            .env("RABBIT_URL", url)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            name,
            log,
            _process: process,
        }
    }

    fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has printed `text` at least `times` times.
    async fn prints(&self, text: &str, times: usize) {
        let what = format!("{} to print {text:?} {times} times", self.name);
        let printed = async || self.printed().matches(text).count() >= times;
        let result = wait::until(&what, LIMIT, printed).await;
        result.unwrap_or_else(|error| panic!("{error:#}\n{}", self.printed()));
    }
}

/// The Rust example, which cargo builds with the tests.
fn rust_example() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let target = this.ancestors().nth(2).unwrap();
    target.join("examples/consumer")
}

async fn edits(stack: &Stack) {
    let load = Load {
        events: Some(200),
        rate: Some(500.0),
        mix: Mix::only(&["MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE"]),
        duration: None,
    };
    stack.sim.generate(load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_consume_command_and_reconnect() {
    let examples = workspace().join("deploy/examples");
    let folder = tempfile::tempdir().unwrap();
    let dir = |name: &str| {
        let dir = folder.path().join(name);
        fs::create_dir(&dir).unwrap();
        dir
    };
    let requirements = examples.join("python/requirements.txt");
    let python = Python::with_packages(&dir("python"), &requirements).await;
    let python = python.unwrap_or_else(|error| panic!("{error:#}"));
    let node = dir("node");
    Node::with_packages(&node, &examples.join("node"))
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    // ES modules find packages beside themselves alone.
    fs::copy(examples.join("node/consumer.js"), node.join("consumer.js")).unwrap();
    let mut node_command = Command::new("node");
    node_command.arg(node.join("consumer.js"));

    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut stack = Stack::start(servers, &Options::new(1, 6)).await.unwrap();
    stack.ready().await.unwrap();
    let url = stack.servers.rabbitmq.url();
    let consumer = python.command(&examples.join("python/consumer.py"));
    let mut command = python.command(&examples.join("python/minimal.py"));
    command.env("PYTHONUNBUFFERED", "1");
    let minimal = Example::start("minimal", command, &url, folder.path());
    let running = [
        Example::start("python", consumer, &url, folder.path()),
        Example::start("node", node_command, &url, folder.path()),
        Example::start("rust", Command::new(rust_example()), &url, folder.path()),
    ];
    for example in &running {
        // The reply of the shard's status.
        example.prints("status:", 1).await;
        example.prints("Connected", 1).await;
    }
    edits(&stack).await;
    let mut before = Vec::new();
    for example in &running {
        example.prints(" was: ", 10).await;
        before.push(example.printed().matches(" was: ").count());
    }

    // What was deleted was written, and so cached, before.
    minimal.prints(" was ", 5).await;

    stack.servers.rabbitmq.kill();
    stack.servers.rabbitmq.restart().await.unwrap();
    stack.ready().await.unwrap();
    edits(&stack).await;
    for (example, before) in running.iter().zip(before) {
        example.prints(" was: ", before + 10).await;
    }
    stack.stop().await.unwrap();
}

/// The bot with discord.py whose state is in Redis: what it says of members, channels and guilds is what they are, and what it says
/// of them before is what they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_discord_py_bot_has_its_state_in_redis() {
    let example = workspace().join("deploy/examples/discordpy");
    let folder = tempfile::tempdir().unwrap();
    let python = Python::with_packages(folder.path(), &example.join("requirements.txt")).await;
    let python = python.unwrap_or_else(|error| panic!("{error:#}"));
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut stack = Stack::start(servers, &Options::new(2, 6)).await.unwrap();
    stack.ready().await.unwrap();
    stack.arrived(&stack.sent(), LIMIT).await.unwrap();

    let mut command = python.command(&example.join("bot.py"));
    command
        .env("BOT_TOKEN", stack.sim.bot_token())
        .env("REDIS_URL", stack.servers.redis.url())
        .env("DISCORD_API_URL", stack.sim.http_url());
    let url = stack.servers.rabbitmq.url();
    let bot = Example::start("discordpy", command, &url, folder.path());
    let own = text(&stack.sim.truth()["bot_user"]["id"]);
    bot.prints(&format!("ready: {own} in 6 guilds"), 1).await;

    let write = |content: &str| {
        let action = json!({"do": "message", "content": content});
        let action: Action = serde_json::from_value(action).unwrap();
        stack.sim.act(&action).unwrap()
    };
    let done = write("!ping");
    bot.prints("ponged", 1).await;
    let said = |said: &Value| said["content"] == "pong" && said["author"]["id"] == own.as_str();
    assert!(stack.sim.truth().values().any(said));
    let (guild, channel) = (done.guild.unwrap(), done.channel.unwrap());
    let member = done.user.unwrap();
    write(&format!("!about {member}"));
    let truth = stack.sim.truth();
    let of = |key: String| truth[&key].clone();
    let told = of(format!("member:{guild}:{member}"));
    let names = [
        &told["nick"],
        &told["user"]["global_name"],
        &told["user"]["username"],
    ];
    let name = names.iter().find_map(|name| name.as_str()).unwrap();
    bot.prints(&format!("member {member} {name} roles {guild}"), 1)
        .await;
    let name = text(&of(format!("channel:{guild}:{channel}"))["name"]);
    bot.prints(&format!("channel {channel} {name} permissions "), 1)
        .await;
    let count = |prefix: String| {
        let of_kind = truth.iter().filter(|(key, _)| key.starts_with(&prefix));
        let no_thread = |value: &Value| !matches!(value["type"].as_u64(), Some(10..=12));
        of_kind.filter(|(_, value)| no_thread(value)).count()
    };
    let (channels, members) = (
        count(format!("channel:{guild}:")),
        count(format!("member:{guild}:")),
    );
    let value = of(format!("guild:{guild}"));
    let (name, all) = (text(&value["name"]), &value["member_count"]);
    let line = format!("guild {guild} {name} channels {channels} members {members} of {all}");
    bot.prints(&line, 1).await;

    let before = |shard| stack.sim.sent(shard).len();
    let before: Vec<_> = (0..stack.shards).map(before).collect();
    let load = Load {
        events: Some(600),
        mix: Mix::only(&[
            "MESSAGE_CREATE",
            "MESSAGE_UPDATE",
            "GUILD_MEMBER_UPDATE",
            "GUILD_MEMBER_REMOVE",
            "CHANNEL_UPDATE",
        ]),
        ..Load::default()
    };
    stack.sim.generate(load).await;
    let mut changes = 0;
    for (name, d, old) in sent_after(&stack, &before) {
        let or_none = |value: &Value| value.as_str().unwrap_or("None").to_owned();
        let line = match name.as_str() {
            "GUILD_MEMBER_UPDATE" => {
                let (was, is) = (or_none(&old["nick"]), or_none(&d["nick"]));
                format!("member {} was: {was}, is: {is}", text(&d["user"]["id"]))
            }
            "CHANNEL_UPDATE" => {
                let (was, is) = (text(&old["name"]), text(&d["name"]));
                format!("channel {} was: {was}, is: {is}", text(&d["id"]))
            }
            "GUILD_MEMBER_REMOVE" => format!("member {} left: ", text(&d["user"]["id"])),
            _ => continue,
        };
        bot.prints(&line, 1).await;
        changes += 1;
    }
    assert!(changes > 20, "{changes}");
    bot.prints("message ", 1).await;
    stack.stop().await.unwrap();
}

/// Names of the events that were sent with an `old` after so many of each shard, their data, and the `old`.
fn sent_after(stack: &Stack, before: &[usize]) -> Vec<(String, Value, Value)> {
    let events = (0..).zip(before);
    let events = events.flat_map(|(shard, after)| stack.sim.sent_after(shard, *after, usize::MAX));
    let changes = events.filter_map(|event| {
        let d = serde_json::from_str(&event.d).ok()?;
        Some((event.t, d, event.old?))
    });
    changes.collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
