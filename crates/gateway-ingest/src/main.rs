//! The `gateway-ingest` binary.

use std::process::ExitCode;

use dispatch_service::start::{Refused, Service, start};
use gateway_ingest::{App, config::Config};

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
