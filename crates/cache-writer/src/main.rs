//! Keeps the state cache in Redis and publishes each event with the state before it.

use std::process::ExitCode;

use cache_writer::{App, config::Config};
use dispatch_service::start::{Service, start};

/// A published event costs about 80 allocations, many of them freed by another thread: with the system's allocator the writer takes a
/// tenth more CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    about: env!("CARGO_PKG_DESCRIPTION"),
    port: 8006,
    metrics: cache_writer::metrics::ALL,
};

fn main() -> ExitCode {
    start(SERVICE, Config::read, async |config, surroundings| {
        let (guard, stop) = (config.guard.clone(), surroundings.stop.clone());
        guard.run(stop, App::new(config, surroundings).run()).await
    })
}
