//! Libraries that bots are written with, unmodified, against the simulated Discord: nothing is set but URLs.

mod cache;
mod cache_twilight;
mod twilight;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use discord_sim::{Action, Fault, Load, RestFault, Scope, Sim, SimConfig};
use serde_json::{Value, json};
use testbed::child::log_tail;
use testbed::node::Node;
use testbed::python::Python;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Longest wait for one thing. Far more than it takes, for machines under load.
const LIMIT: Duration = Duration::from_secs(60);
/// Time between two IDENTIFYs.
const IDENTIFY_INTERVAL: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn discord_py_and_hikari() {
    let folder = tempfile::tempdir().unwrap();
    let python = Python::with_packages(folder.path(), &here().join("requirements.txt")).await;
    let python = python.unwrap_or_else(|error| panic!("{error:#}"));
    let discord_py = async {
        let mut bot = Bot::start(
            &mut python.command(&here().join("discord_py.py")),
            folder.path(),
            "discord.py",
        )
        .await;
        bot.work().await;
        bot.compare(cache::DISCORD_PY).await
    };
    let hikari = async {
        let mut bot = Bot::start(
            &mut python.command(&here().join("hikari_bot.py")),
            folder.path(),
            "hikari",
        )
        .await;
        bot.work().await;
        bot.compare(cache::HIKARI).await
    };
    let wrong = tokio::join!(discord_py, hikari);
    assert!(
        wrong.0.is_empty() && wrong.1.is_empty(),
        "discord.py, hikari: {wrong:#?}"
    );
}

/// discord.js, and Oceanic, which speaks ETF where erlpack is installed.
#[tokio::test(flavor = "multi_thread")]
async fn discord_js_and_oceanic() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::with_packages(folder.path(), &here()).await;
    let node = node.unwrap_or_else(|error| panic!("{error:#}"));
    node.build("erlpack")
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    let discord_js = async {
        let mut bot = Bot::start(
            &mut node.command(&here().join("discord_js.js")),
            folder.path(),
            "discord.js",
        )
        .await;
        bot.work().await;
    };
    let oceanic = async {
        let mut bot = Bot::start(
            &mut node.command(&here().join("oceanic.js")),
            folder.path(),
            "oceanic",
        )
        .await;
        bot.work().await;
    };
    tokio::join!(discord_js, oceanic);
}

#[tokio::test(flavor = "multi_thread")]
async fn twilight() {
    let mut bot = Bot::start_twilight().await;
    bot.work().await;
    let wrong = bot.compare(cache::TWILIGHT).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/libraries")
}

async fn simulator() -> Sim {
    let sim = Sim::start(SimConfig {
        identify_interval: IDENTIFY_INTERVAL,
        ..SimConfig::default()
    });
    sim.await.unwrap()
}

/// A bot of a library, and the Discord that it is logged in to.
struct Bot {
    library: &'static str,
    sim: Sim,
    /// Where it logs, if it is a program.
    log: Option<PathBuf>,
    input: Box<dyn AsyncWrite + Unpin>,
    output: Lines<BufReader<Box<dyn AsyncRead + Unpin>>>,
    counted: u64,
    runs: Runs,
}

/// What ends with the bot.
enum Runs {
    Program { _child: Child },
    Tasks(JoinSet<()>),
}

impl Bot {
    async fn start(command: &mut Command, folder: &Path, library: &'static str) -> Self {
        let sim = simulator().await;
        let log = folder.join(format!("{library}.log"));
        let mut child = command
            .env("DISCORD_API_URL", sim.http_url())
            .env("DISCORD_GATEWAY_URL", sim.gateway_url())
            .env("DISCORD_TOKEN", sim.bot_token())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output: Box<dyn AsyncRead + Unpin> = Box::new(child.stdout.take().unwrap());
        Self {
            library,
            sim,
            log: Some(log),
            input: Box::new(child.stdin.take().unwrap()),
            output: BufReader::new(output).lines(),
            counted: 0,
            runs: Runs::Program { _child: child },
        }
    }

    /// The one whose library is Rust's: it runs in this process.
    async fn start_twilight() -> Self {
        let sim = simulator().await;
        let mut tasks = JoinSet::new();
        let (output, input) = twilight::start(&sim, &mut tasks);
        let output: Box<dyn AsyncRead + Unpin> = Box::new(output);
        Self {
            library: "twilight",
            sim,
            log: None,
            input: Box::new(input),
            output: BufReader::new(output).lines(),
            counted: 0,
            runs: Runs::Tasks(tasks),
        }
    }

    /// Waits until the bot says that it has done this.
    async fn step(&mut self, step: &str) -> Value {
        let said = timeout(LIMIT, async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                // Libraries log there, too.
                let Ok(said) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                if said["step"] == step {
                    return Some(said);
                }
            }
            None
        });
        match said.await {
            Ok(Some(said)) => said,
            _ => {
                let why = self.why();
                panic!("{}: not {step}\n{why}", self.library)
            }
        }
    }

    /// What is known of why it does not do what it should.
    fn why(&mut self) -> String {
        if let Runs::Tasks(tasks) = &mut self.runs
            && let Some(ended) = tasks.try_join_next()
        {
            return format!("{ended:?}");
        }
        let log = self.log.as_deref().map(|log| log_tail(log, 40));
        log.unwrap_or_default()
    }

    fn act(&self, action: Value) {
        let action: Action = serde_json::from_value(action).unwrap();
        self.sim.act(&action).unwrap();
    }

    /// Three more messages, numbered; the bot must hear of each once.
    async fn count(&mut self) {
        for number in self.counted..self.counted + 3 {
            self.act(json!({"do": "message", "content": format!("count {number}")}));
        }
        for number in self.counted..self.counted + 3 {
            let said = self.step("counted").await;
            assert_eq!(
                said["number"], number,
                "{}: a gap, or a repeat",
                self.library
            );
        }
        self.counted += 3;
    }

    /// Logs in, registers a command, answers it, writes with a file, edits, deletes, reacts, fetches a member, chunks
    /// members; then what can happen to it happens.
    async fn work(&mut self) {
        let worked = self.step("worked").await;
        let identified = Instant::now();
        assert_eq!(worked["members"], 50, "{}", self.library);
        self.act(json!({"do": "command", "name": "greet"}));
        self.step("answered").await;
        for (resumes, fault) in [
            (1, Fault::Reconnect),
            (2, Fault::InvalidSession { resumable: true }),
            (3, Fault::Drop),
        ] {
            self.sim.fault(fault, Scope::All);
            self.count().await;
            // What was sent just before the client left has not waited for that.
            let sim = self.sim.clone();
            self.until("resume", || sim.resumes() == resumes).await;
        }
        // Oceanic identifies at once, however long ago it last did.
        let free = || identified.elapsed() >= IDENTIFY_INTERVAL;
        self.until("free bucket", free).await;
        let fault = Fault::InvalidSession { resumable: false };
        self.sim.fault(fault, Scope::All);
        let sim = self.sim.clone();
        self.until("a new session", || {
            sim.identifies() == 2 && sim.connections() == 1
        })
        .await;
        assert!(self.sim.quiet(LIMIT).await);
        self.count().await;
        self.sim.rest_fault(RestFault {
            route: Some("/channels/*/messages".to_owned()),
            status: Some(429),
            retry_after: Some("1".to_owned()),
            bucket_headers: true,
            times: Some(1),
            ..RestFault::default()
        });
        self.act(json!({"do": "message", "content": "say"}));
        self.step("said").await;
        let violations = self.sim.violations();
        assert!(violations.is_empty(), "{}: {violations:?}", self.library);
        let requests = self.sim.rest_requests();
        let refused = requests
            .iter()
            .filter(|request| !matches!(request.status, Some(200..300)));
        let refused: Vec<_> = refused
            .map(|request| (&request.route, request.status))
            .collect();
        assert_eq!(refused.len(), 1, "{}: {refused:?}", self.library);
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < LIMIT, "{}: no {what}", self.library);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is wrong with its cache after 10,000 events of all kinds.
    async fn compare(&mut self, explained: &[cache::Explained]) -> Vec<String> {
        let load = Load {
            events: Some(10_000),
            rate: Some(700.0),
            ..Load::default()
        };
        self.sim.generate(load).await;
        assert!(self.sim.quiet(LIMIT).await);
        self.count().await;
        self.input.write_all(b"dump\n").await.unwrap();
        let said = self.step("dump").await;
        let users = cache::Users::of(&self.sim.truth(), &self.sim.sent(0));
        cache::wrong(explained, &said["cache"], &self.sim.truth(), &users)
    }
}
