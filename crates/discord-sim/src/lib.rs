//! A simulated Discord: REST and gateway, with a seeded world, faults on demand, and the truth kept.
//!
//! For tests, demos and load on anything that talks to Discord as a bot. One port serves REST
//! (a bot's routes, answered from the world), the gateway (versions 6 to 10, JSON and ETF, every
//! compression) and a control API under `/sim`. A [`World`](world::World) of
//! guilds, drawn from a seed, is moved by a generator; the log has every event that was sent and
//! what a perfect cache must hold after it.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use discord_sim::{Fault, Load, Scope, Sim, SimConfig};
//!
//! let sim = Sim::start(SimConfig::default()).await?;
//! println!("{} {}", sim.http_url(), sim.gateway_url());
//! // … start a bot against these URLs, with the token `sim-token` …
//! sim.generate(Load { events: Some(1_000), rate: Some(500.0), ..Load::default() }).await;
//! sim.fault(Fault::Drop, Scope::All);
//! sim.generate(Load { events: Some(1_000), rate: Some(500.0), ..Load::default() }).await;
//! assert!(sim.quiet(std::time::Duration::from_secs(10)).await);
//! assert_eq!(sim.resumes(), 1);
//! println!("a perfect cache holds {} entries now", sim.truth().len());
//! # Ok(())
//! # }
//! ```
//!
//! A [`Fault`] strikes once, or lasts; [`Fault::Answer`] makes the gateway answer wrongly at a chosen [`Point`] of a
//! connection, and a [`RestFault`] does the same to REST. Who came, and when, is in [`Sim::connections_made`] and
//! [`Sim::rest_requests`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod control;
mod dispatcher;
mod faults;
mod gateway;
pub mod generator;
mod load;
mod protocol;
mod rest;
mod scenario;
mod server;
mod state;
mod stream;
mod tls;
pub mod truth;
pub mod world;

pub use config::{ResumeUrl, SimConfig};
pub use control::SentBody;
pub use dispatcher::{InteractionCounts, SentEvent};
pub use faults::{Answer, Fault, Host, Point, RestBody, RestFault, Scope};
pub use generator::Mix;
pub use load::Load;
pub use protocol::snowflake;
pub use scenario::{Outcome, Scenario, ScenarioError, StepOutcome};
pub use server::Sim;
pub use state::{Asked, ConnectionMade, Counts, RestRequest, SessionStatus, Status};
pub use world::{Action, Deed, Done, WorldConfig};
