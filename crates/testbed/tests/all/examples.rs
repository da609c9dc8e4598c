//! The consumers in `deploy/examples`, as a user runs them: they print states before, get a reply to a command, and go on after
//! a crash of RabbitMQ.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use discord_sim::{Load, Mix};
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

    stack.servers.rabbitmq.kill();
    stack.servers.rabbitmq.restart().await.unwrap();
    stack.ready().await.unwrap();
    edits(&stack).await;
    for (example, before) in running.iter().zip(before) {
        example.prints(" was: ", before + 10).await;
    }
    stack.stop().await.unwrap();
}
