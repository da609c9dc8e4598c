//! The `gateway-ingest` binary.

use std::process::ExitCode;

use dispatch_service::start::{Refused, Service, start};
use gateway_ingest::{App, config::Config};

/// Gives back what a burst has left behind. The system's allocator keeps what lies below something that lives: a process that had
/// read the guilds of 64 shards stayed at the size of its full buffer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let service = Service {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        about: env!("CARGO_PKG_DESCRIPTION"),
        port: 8005,
        metrics: gateway_ingest::metrics::ALL,
    };
    start(service, Config::read, async |config, surroundings| {
        let ended = App::build(config, surroundings).run().await;
        ended.map_err(|error| match error.is_refusal() {
            true => Refused(error.into()).into(),
            false => error.into(),
        })
    })
}
