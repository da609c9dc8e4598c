//! How many events in a second reach twilight's client, and what each costs the simulator:
//!
//!   cargo run --release -p discord-sim --example throughput [EVENTS]
//!
//! Simulator and client have a thread each, whose CPU time is taken apart. On two cores that is all there is: on a machine
//! that does something else meanwhile the figures say little.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use discord_sim::{Load, Sim, SimConfig, WorldConfig};
use futures_util::StreamExt as _;
use tokio::{runtime::Builder, sync::oneshot};
use twilight_gateway::{ConfigBuilder, Intents, Message, Shard, ShardId};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: u64 = 300_000;

/// Ticks of a thread's CPU time in a second, as Linux tells it.
const TICKS: f64 = 100.0;

/// The event that ends the count.
const END: &str = "THE_END";

struct Figures {
    wall: Duration,
    sim: Duration,
    client: Duration,
    bytes: usize,
}

fn main() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let events = std::env::args().nth(1);
    let events = events.map_or(Ok(EVENTS), |events| events.parse())?;
    println!(
        "| truth | events/s | simulator, µs of CPU an event | twilight, µs | bytes an event |"
    );
    println!("|---|---|---|---|---|");
    for truth in [false, true] {
        let Figures {
            wall,
            sim,
            client,
            bytes,
        } = measure(events, truth)?;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / events as f64;
        println!(
            "| {} | {:.0} | {:.1} | {:.1} | {} |",
            if truth { "on" } else { "off" },
            events as f64 / wall.as_secs_f64(),
            each(sim),
            each(client),
            bytes as u64 / events,
        );
    }
    Ok(())
}

fn measure(events: u64, truth: bool) -> Result<Figures> {
    let (address, addressed) = oneshot::channel();
    let (ready, when_ready) = oneshot::channel::<()>();
    let (over, when_over) = oneshot::channel::<()>();
    let simulator = std::thread::Builder::new().name("simulator".to_owned());
    let simulator = simulator.spawn(move || -> Result<Duration> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let sim = Sim::start(SimConfig {
                world: WorldConfig {
                    guilds: 50,
                    ..WorldConfig::default()
                },
                keep_payloads: false,
                keep_truth: truth,
                ..SimConfig::default()
            })
            .await?;
            let _ = address.send(sim.gateway_url());
            when_ready.await?;
            ensure!(
                sim.quiet(Duration::from_secs(30)).await,
                "it never got quiet"
            );
            let before = cpu_time()?;
            let load = Load {
                events: Some(events),
                ..Load::default()
            };
            ensure!(sim.generate(load).await == events, "the load ended early");
            sim.inject(0, END, "{}");
            when_over.await?;
            Ok(cpu_time()? - before)
        })
    })?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (wall, client, bytes) = runtime.block_on(async {
        let config = ConfigBuilder::new("sim-token".to_owned(), Intents::all())
            .proxy_url(addressed.await?)
            .build();
        let mut shard = Shard::with_config(ShardId::ONE, config);
        let mut ready = Some(ready);
        let mut began = None;
        let mut bytes = 0;
        loop {
            let message = shard.next().await.context("the shard has ended")?;
            let Ok(Message::Text(text)) = message else {
                continue;
            };
            if text.starts_with(r#"{"t":"READY""#) {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                }
                continue;
            }
            // What comes before, and the guilds of the beginning, are not counted.
            if ready.is_some() || bytes == 0 && text.starts_with(r#"{"t":"GUILD_CREATE""#) {
                began = Some((Instant::now(), cpu_time()?));
                continue;
            }
            bytes += text.len();
            if text.contains(END) && text.len() < 100 {
                let (start, cpu) = began.context("no guild came")?;
                return Ok::<_, anyhow::Error>((start.elapsed(), cpu_time()? - cpu, bytes));
            }
        }
    })?;
    let _ = over.send(());
    let sim = simulator
        .join()
        .map_err(|_| anyhow::anyhow!("the simulator panicked"))??;
    Ok(Figures {
        wall,
        sim,
        client,
        bytes,
    })
}

/// CPU time of this thread.
fn cpu_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/stat")?;
    let fields: Vec<&str> = text
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').collect())
        .unwrap_or_default();
    // `utime` and `stime`: the 14th and 15th of all, the 12th and 13th after the name.
    let ticks = |place: usize| {
        fields
            .get(place)
            .and_then(|field| field.parse::<f64>().ok())
    };
    let (user, system) = (ticks(11), ticks(12));
    let ticks = user.context("no utime")? + system.context("no stime")?;
    Ok(Duration::from_secs_f64(ticks / TICKS))
}
