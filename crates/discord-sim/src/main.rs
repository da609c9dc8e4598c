//! The simulator as a program: see `discord-sim --help`.

mod args;

use clap::Parser;
use discord_sim::{Load, Sim};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use args::Args;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let filter = EnvFilter::try_new(&args.log)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();

    let mut terminate = signal(SignalKind::terminate())?;
    let sim = Sim::start(args.config()).await?;
    println!("DISCORD_API_URL={}", sim.http_url());
    println!("DISCORD_GATEWAY_URL={}", sim.gateway_url());
    println!("control: {}/sim/status", sim.http_url());

    if args.rate > 0.0 {
        let load = Load {
            rate: Some(args.rate),
            ..Load::default()
        };
        let sim = sim.clone();
        tokio::spawn(async move { sim.generate(load).await });
    }
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    tracing::info!("stopping");
    sim.shutdown().await;
    Ok(())
}
