//! The `command-router` binary.

use std::process::ExitCode;

use command_router::{App, config::Config};
use dispatch_service::start::{Service, start};

const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    about: env!("CARGO_PKG_DESCRIPTION"),
    port: 8007,
    metrics: command_router::metrics::ALL,
};

fn main() -> ExitCode {
    start(SERVICE, Config::read, async |config, surroundings| {
        let (guard, stop) = (config.guard.clone(), surroundings.stop.clone());
        guard
            .run(stop, App::build(config, surroundings).run())
            .await
    })
}
