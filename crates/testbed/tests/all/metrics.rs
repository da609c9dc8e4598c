//! What the services export: all that their catalogues say and nothing else, zeros from the start, and whatever the board and the
//! alerts ask for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use dispatch_proto::rabbit::SEND_QUEUE;
use lapin::{BasicProperties, options::BasicPublishOptions};
use serde_json::Value;
use testbed::binaries::{Service, workspace};
use testbed::http;
use testbed::metrics::{Metrics, Sample};
use testbed::port::free_port;
use testbed::process::Process;
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, Stack, settings};
use testbed::wait;
use tokio::process::Child;

const LIMIT: Duration = Duration::from_secs(60);

/// A metric of a service's catalogue.
struct Metric {
    name: String,
    kind: String,
    /// Each label with its values; none where they are open.
    labels: BTreeMap<String, Vec<String>>,
}

/// What the binary says of itself.
fn catalogue(service: Service) -> Vec<Metric> {
    let mut command = Command::new(service.binary().unwrap());
    let output = command.arg("catalogue").output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let label = |label: &Value| {
        let values = list(&label["values"]).iter().map(text).collect();
        (text(&label["name"]), values)
    };
    let mut metrics = list(&all["metrics"]);
    metrics.extend(list(&all["shared_metrics"]));
    let metrics = metrics.iter().map(|metric| Metric {
        name: text(&metric["name"]),
        kind: text(&metric["kind"]),
        labels: list(&metric["labels"]).iter().map(label).collect(),
    });
    metrics.collect()
}

impl Metric {
    /// Whether a sample is one of it, in name and labels.
    fn has(&self, sample: &Sample) -> bool {
        let parts: &[&str] = match self.kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let named = parts
            .iter()
            .any(|part| sample.name.strip_suffix(part) == Some(self.name.as_str()));
        let mut labels = sample.labels.clone();
        if self.kind == "histogram" {
            labels.remove("le");
        }
        let fits = |(name, value): (&String, &String)| match self.labels.get(name) {
            Some(values) => values.is_empty() || values.contains(value),
            None => false,
        };
        named && labels.len() == self.labels.len() && labels.iter().all(fits)
    }
}

/// The first increase of a counter can be seen: each is there, with 0, before anything has happened.
#[tokio::test(flavor = "multi_thread")]
async fn counters_are_there_from_the_start() {
    let nowhere = free_port().unwrap();
    let mut env = settings::links(
        &format!("amqp://127.0.0.1:{nowhere}"),
        &format!("redis://127.0.0.1:{nowhere}"),
    );
    env.extend(settings::discord(
        "sim-token",
        &format!("http://127.0.0.1:{nowhere}"),
        &format!("ws://127.0.0.1:{nowhere}"),
    ));
    env.extend(settings::shards(1));
    let dir = tempfile::tempdir().unwrap();
    for service in Service::ALL {
        let process = Process::start(service, service.name(), dir.path(), &env).unwrap();
        let answers = async || process.metrics().await.is_ok();
        wait::until("metrics", LIMIT, answers).await.unwrap();
        let exported = process.metrics().await.unwrap();
        for metric in catalogue(service) {
            let open = metric.labels.values().any(Vec::is_empty);
            if metric.kind != "counter" || open {
                continue;
            }
            let series = exported.samples.iter();
            let series = series.filter(|sample| metric.has(sample)).count();
            let all: usize = metric.labels.values().map(Vec::len).product();
            assert_eq!(series, all, "{}: {}", service.name(), metric.name);
        }
    }
}

/// Under load, with a lost session, a reconnect, and commands good and bad.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_what_the_catalogues_say_and_what_board_and_alerts_ask_for() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut options = Options::new(2, 50);
    options.sim.heartbeat_interval = Duration::from_secs(2);
    let mut stack = Stack::start(servers, &options).await.unwrap();
    stack.ready().await.unwrap();
    let load = stack.start_load(100.0);
    command(&stack, r#"{"op":1,"shard":0}"#).await;
    command(&stack, r#"{"op":2,"shard":1}"#).await;
    command(&stack, r#"{"op":0,"shard":0,"data":{"op":1,"d":null}}"#).await;

    let mut asked = names_in(&workspace().join("deploy/observability/dashboard.json"));
    asked.extend(names_in(
        &workspace().join("deploy/observability/alerts.yml"),
    ));
    let complete = async || missing(&stack, &asked).await.is_empty();
    if wait::until("every metric", LIMIT, complete).await.is_err() {
        panic!("never exported: {:?}", missing(&stack, &asked).await);
    }
    for (service, exported) in exported(&stack).await {
        let catalogue = catalogue(service);
        for sample in &exported.samples {
            assert!(
                catalogue.iter().any(|metric| metric.has(sample)),
                "{}: {sample:?} is not in the catalogue",
                service.name()
            );
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(&stack, dir.path()).await;
    for expression in panels() {
        let answered = async || prometheus.answers(&expression).await;
        let answered = wait::until("a panel", LIMIT, answered).await;
        assert!(answered.is_ok(), "the board shows nothing for {expression}");
    }
    stack.sim.stop_load();
    load.await.unwrap();
}

async fn command(stack: &Stack, body: &str) {
    let url = stack.servers.rabbitmq.url();
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default());
    let channel = connection.await.unwrap().create_channel().await.unwrap();
    let publish = channel.basic_publish(
        "".into(),
        SEND_QUEUE.into(),
        BasicPublishOptions::default(),
        body.as_bytes(),
        BasicProperties::default(),
    );
    publish.await.unwrap().await.unwrap();
}

async fn exported(stack: &Stack) -> Vec<(Service, Metrics)> {
    let writer = (Service::CacheWriter, &stack.writers[0]);
    let router = (Service::CommandRouter, &stack.router);
    let mut all = Vec::new();
    for (service, process) in [(Service::GatewayIngest, &stack.ingest), writer, router] {
        all.push((service, process.metrics().await.unwrap()));
    }
    all
}

/// What the catalogues have, or the board or an alert names, and no service exports.
async fn missing(stack: &Stack, asked: &BTreeSet<String>) -> Vec<String> {
    let exported = exported(stack).await;
    let mut missing = Vec::new();
    for (service, metrics) in &exported {
        for metric in catalogue(*service) {
            if !metrics.samples.iter().any(|sample| metric.has(sample)) {
                missing.push(format!("{} of {}", metric.name, service.name()));
            }
        }
    }
    let there = |name: &str| {
        let mut samples = exported.iter().flat_map(|(_, metrics)| &metrics.samples);
        // What an alert says to do names histograms without their parts.
        samples
            .any(|sample| sample.name == *name || sample.name.strip_suffix("_count") == Some(name))
    };
    missing.extend(asked.iter().filter(|name| !there(name)).cloned());
    missing
}

/// The names of our metrics in a file.
fn names_in(path: &Path) -> BTreeSet<String> {
    let prefixes = [
        "gateway_",
        "ingest_",
        "state_",
        "writer_",
        "command_router_",
        "redis_",
        "rabbitmq_",
    ];
    let text = fs::read_to_string(path).unwrap();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    // `state_.+` stands for all of its kind.
    let ours = words.filter(|word| {
        !word.ends_with('_') && prefixes.iter().any(|prefix| word.starts_with(prefix))
    });
    ours.map(str::to_owned).collect()
}

/// All that the board's panels ask.
fn panels() -> Vec<String> {
    let path = workspace().join("deploy/observability/dashboard.json");
    let board: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    let targets = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap());
    targets.map(str::to_owned).collect()
}

/// A real one that scrapes the stack. Killed when dropped.
struct Prometheus {
    port: u16,
    _process: Child,
}

impl Prometheus {
    async fn start(stack: &Stack, dir: &Path) -> Self {
        let job = |name: &str, port: u16| {
            format!(
                "  - job_name: {name}\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
            )
        };
        let jobs = [
            job("gateway-ingest", stack.ingest.port()),
            job("cache-writer", stack.writers[0].port()),
            job("command-router", stack.router.port()),
        ];
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n{}",
            jobs.concat()
        );
        fs::write(dir.join("prometheus.yml"), config).unwrap();
        let port = free_port().unwrap();
        let process = tokio::process::Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus, which comes with promtool");
        Self {
            port,
            _process: process,
        }
    }

    /// Whether there is anything for this expression.
    async fn answers(&self, expression: &str) -> bool {
        let encoded: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let path = format!("/api/v1/query?query={encoded}");
        let Ok(answer) = http::fetch(self.port, &path).await else {
            return false;
        };
        let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let series = answer["data"]["result"].as_array();
        series.is_some_and(|series| !series.is_empty())
    }
}
