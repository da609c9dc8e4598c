//! Start and end of a service: arguments, settings, logs, metrics, health, signals, exit code.

use std::{
    backtrace::Backtrace,
    future::Future,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Arg, Command, value_parser};
use nix::sys::{
    prctl,
    resource::{Resource, getrlimit, setrlimit},
};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    amqp,
    health::Health,
    http,
    logging::{self, Format},
    metrics::{self, Metric},
    probe, redis_link,
    settings::{
        Reader, address,
        catalogue::{ALL, LOG_FORMAT, PROMETHEUS_HOST, PROMETHEUS_PORT, REFUSAL_WAIT, RUST_LOG},
    },
};

/// How long a service may take to end after SIGTERM before it is ended. Kubernetes and Docker kill after 30 s and 10 s.
const GRACE: Duration = Duration::from_secs(9);

/// Ports of metrics and health of gateway-ingest, cache-writer and command-router.
const DEFAULT_PORTS: std::ops::RangeInclusive<u16> = 8005..=8007;

/// What a service is, for `--help` and `--version`.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Name of the binary.
    pub name: &'static str,
    /// Version of the build.
    pub version: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// Port of metrics and health if `PROMETHEUS_PORT` is not set.
    pub port: u16,
    /// What it exports beside [`shared_metrics`].
    pub metrics: &'static [Metric],
}

/// Metrics that every service exports.
pub fn shared_metrics() -> impl Iterator<Item = &'static Metric> {
    amqp::METRICS.iter().chain(redis_link::METRICS)
}

/// What a running service gets from its surroundings.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Cancelled when the process is asked to end.
    pub stop: CancellationToken,
    /// Where the service says what it still waits for.
    pub health: Health,
}

/// An end that starting again won't mend: Discord refuses the token, the intents or the shards; or the names on the servers are another
/// bot's.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct Refused(#[from] pub anyhow::Error);

/// Exit code of a [`Refused`] service.
const REFUSED: u8 = 3;

/// Runs a service: reads its settings with `read`, then runs `run` until it returns.
///
/// The exit code is 0 if `run` returns `Ok`, 2 for wrong settings, 3 if it was [`Refused`], else 1. After SIGTERM or Ctrl-C, `run`
/// has 9 s. A refused service ends only after `REFUSAL_WAIT`, so that a supervisor that starts it again at once does not have
/// Discord asked again and again.
pub fn start<C, F>(
    service: Service,
    read: impl FnOnce(&mut Reader) -> Option<C>,
    run: impl FnOnce(C, Surroundings) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let arguments = arguments(service).get_matches();
    let file = arguments.get_one::<PathBuf>("config").cloned();
    match arguments.subcommand() {
        Some(("healthcheck", check)) => {
            let path = check.get_one::<String>("path");
            return health(service, file, path.map_or("/readyz", String::as_str));
        }
        Some(_) => return print_catalogue(service),
        None => {}
    }
    let (config, common) = match settings(service, file, read) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{}: {error:#}", service.name);
            return ExitCode::from(2);
        }
    };
    let Common {
        filter,
        format,
        address,
        refusal_wait,
    } = common;
    logging::init(filter, format);
    // A panic is a bug. A task that has vanished would leave its shard or partition unserved without a sign; a crash is
    // what every guarantee is built to survive.
    std::panic::set_hook(Box::new(|info| {
        tracing::error!(%info, backtrace = %Backtrace::force_capture(), "panic");
        std::process::abort();
    }));
    // Before there is much memory. Whoever touches a byte of a huge page gets 2 MiB: an allocator that asks for them, and many systems
    // that give them unasked, had 64 resting shards at twice the size.
    if let Err(error) = prctl::set_thp_disable(true) {
        tracing::debug!(%error, "the system may use huge pages");
    }
    if let Err(error) = raise_open_files() {
        tracing::debug!(%error, "the limit of open files stays");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(supervise(service, config, address, refusal_wait, run));
    // Whatever still runs ends with the process. Taking the runtime down first would cancel the AMQP client's tasks under its own
    // thread, which panics over that.
    std::mem::forget(runtime);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Refused>() => ExitCode::from(REFUSED),
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Lets the process have as many files and sockets open as it may ask for: many systems begin with 1,024, for programs that can't
/// have more, which is fewer than the shards of a large bot.
fn raise_open_files() -> nix::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}

/// How many files and sockets the process may have open.
#[must_use]
pub fn open_files_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(limit, _)| limit)
}

/// `healthcheck`: 0 if the service that runs beside this process with the same settings answers with 200, 1 if not, 2 for
/// wrong settings.
fn health(service: Service, file: Option<PathBuf>, path: &str) -> ExitCode {
    // Only where it listens is needed; what else is wrong is for the service itself to say.
    let common = settings(service, file, |_| Some(()));
    let address = match common {
        Ok(((), common)) => common.address,
        Err(error) => {
            eprintln!("{}: {error:#}", service.name);
            return ExitCode::from(2);
        }
    };
    match probe::ask(address, path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", service.name);
            ExitCode::FAILURE
        }
    }
}

/// `catalogue`: the settings that it reads and the metrics that it exports, as JSON.
fn print_catalogue(service: Service) -> ExitCode {
    let all = serde_json::json!({
        "settings": ALL,
        "metrics": service.metrics,
        "shared_metrics": shared_metrics().collect::<Vec<_>>(),
    });
    println!("{all:#}");
    ExitCode::SUCCESS
}

async fn supervise<C, F>(
    service: Service,
    config: C,
    address: SocketAddr,
    refusal_wait: Duration,
    run: impl FnOnce(C, Surroundings) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    // Several TLS users are linked in; the one provider is named so that none has to guess. A second call finds it set.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let recorder = metrics::install(shared_metrics().chain(service.metrics))
        .context("cannot install the metrics recorder")?;
    tokio::spawn(metrics::upkeep(recorder.clone()));
    let surroundings = Surroundings {
        stop: CancellationToken::new(),
        health: Health::default(),
    };
    let served = CancellationToken::new();
    let (stop, health) = (surroundings.stop.clone(), surroundings.health.clone());
    http::serve(address, recorder, health, served.clone()).await?;
    tracing::info!(service = service.name, version = service.version, %address, "started");

    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut signalled =
        async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
    let refused = surroundings.health.clone();
    let run = run(config, surroundings);
    tokio::pin!(run);
    let result = tokio::select! {
        result = &mut run => result,
        () = signalled() => {
            tracing::info!("stopping");
            stop.cancel();
            tokio::time::timeout(GRACE, run).await.context("did not stop in time")?
        }
    };
    if let Err(error) = &result
        && error.is::<Refused>()
    {
        tracing::error!(ends_in_ms = refusal_wait.as_millis(), "{error:#}");
        // Never met: whoever asks whether the service is ready is told why not.
        refused.condition("refused").set(false);
        tokio::select! { () = tokio::time::sleep(refusal_wait) => {}, () = signalled() => {} }
    }
    served.cancel();
    if result.is_ok() {
        tracing::info!("stopped");
    }
    result
}

struct Common {
    filter: EnvFilter,
    format: Format,
    address: SocketAddr,
    refusal_wait: Duration,
}

fn settings<C>(
    service: Service,
    file: Option<PathBuf>,
    read: impl FnOnce(&mut Reader) -> Option<C>,
) -> anyhow::Result<(C, Common)> {
    let mut reader = Reader::load(file.as_deref())?;
    let filter = reader.checked(&RUST_LOG, filter);
    let format = reader.word(&LOG_FORMAT, |text| match text {
        "text" => Some(Format::Text),
        "json" => Some(Format::Json),
        _ => None,
    });
    let host = reader.word(&PROMETHEUS_HOST, |text| match text {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        text => address::host(text)?.parse::<IpAddr>().ok(),
    });
    let port = port(&mut reader, service);
    let refusal_wait = match reader.optional(&REFUSAL_WAIT) {
        Some(_) => Duration::from_millis(reader.millis(&REFUSAL_WAIT, 0)),
        None => Duration::ZERO,
    };
    let config = read(&mut reader);
    reader.finish()?;
    let common = filter
        .zip(format)
        .zip(host)
        .map(|((filter, format), host)| Common {
            filter,
            format,
            address: SocketAddr::new(host, port),
            refusal_wait,
        });
    config
        .zip(common)
        .context("a setting is wrong without having been reported")
}

/// The port of metrics and health. twilight-dispatch was one process and set 8005: where a file that all three services read has one
/// of their default ports, each keeps its own.
fn port(reader: &mut Reader, service: Service) -> u16 {
    let port = match reader.optional(&PROMETHEUS_PORT) {
        Some(_) => reader.number(&PROMETHEUS_PORT, 1..),
        None => service.port,
    };
    match DEFAULT_PORTS.contains(&port) && reader.is_shared(&PROMETHEUS_PORT) {
        true => service.port,
        false => port,
    }
}

/// The filter of the setting. Unless it says otherwise, the AMQP client is silent about what the broker answers on a channel:
/// a lock that another replica holds is no error, and what is one is logged by us.
fn filter(text: &str) -> Option<EnvFilter> {
    let quiet = if text.contains("lapin") {
        ""
    } else {
        ",lapin=off"
    };
    EnvFilter::try_new(format!("{text}{quiet}")).ok()
}

fn arguments(service: Service) -> Command {
    let settings: String = ALL
        .iter()
        .map(|setting| {
            let default = if setting.default.is_empty() {
                ""
            } else {
                " = "
            };
            format!(
                "\n  {}{default}{}\n      {}",
                setting.name, setting.default, setting.expected
            )
        })
        .collect();
    Command::new(service.name)
        .version(service.version)
        .about(service.about)
        .after_help(format!(
            "Settings, shared by the three services (environment, .env or the settings file), with their defaults:{settings}"
        ))
        .arg(
            Arg::new("config")
                .long("config")
                .env("DISPATCH_CONFIG")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("TOML file with settings; the environment wins over it"),
        )
        .subcommand(
            Command::new("healthcheck")
                .about("Asks the service that runs with these settings for its health; the exit code is 0 if it is well")
                .arg(
                    Arg::new("path")
                        .value_name("PATH")
                        .help("/readyz (the default) or /livez"),
                ),
        )
        .subcommand(Command::new("catalogue").about("Prints the settings and the metrics that there are, as JSON"))
}
