//! The simulator as a program: see `discord-sim --help`.

mod args;
mod run;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Parser;
use discord_sim::{Load, Sim};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tracing_subscriber::EnvFilter;

use args::{Args, Command};

/// A quarter of what an event costs went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(Command::Healthcheck) = args.command {
        healthcheck(args.health_address(), args.authority()).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let filter = EnvFilter::try_new(args.log())?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    if let Some(Command::Run { scenario, bot }) = &args.command {
        return Ok(run::run(&args, scenario, bot).await);
    }
    serve(&args).await?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let sim = Sim::start(args.config()).await?;
    println!("DISCORD_API_URL={}", sim.http_url());
    println!("DISCORD_GATEWAY_URL={}", sim.gateway_url());
    println!("DISCORD_TOKEN={}", sim.bot_token());
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

/// Asks the simulator at `address` for a route that needs no token.
async fn healthcheck(address: SocketAddr, authority: Option<PathBuf>) -> anyhow::Result<()> {
    let ask = async {
        let stream = TcpStream::connect(address).await?;
        match authority {
            None => status(stream, address).await,
            Some(authority) => status(encrypt(stream, &authority).await?, address).await,
        }
    };
    let status = timeout(Duration::from_secs(2), ask)
        .await
        .context("no answer")??;
    ensure!(status.contains(" 200 "), "{address} answers {status:?}");
    Ok(())
}

/// The status line that is answered.
async fn status(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
) -> anyhow::Result<String> {
    let request =
        format!("GET /api/v10/gateway HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).await?;
    Ok(status)
}

async fn encrypt(stream: TcpStream, authority: &Path) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    Ok(connector.connect("localhost".try_into()?, stream).await?)
}
