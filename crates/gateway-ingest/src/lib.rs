//! gateway-ingest: holds a bot's shards, publishes what they receive to `gateway.raw`, and sends the commands that lie in
//! `gateway:<shard>`.
//!
//! [`core`] is pure; everything that does I/O is behind the feature `shell`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod core;

#[cfg(feature = "shell")]
pub mod config;
#[cfg(feature = "shell")]
pub mod error;
#[cfg(feature = "shell")]
pub mod metrics;
#[cfg(feature = "shell")]
mod shell;

#[cfg(feature = "shell")]
pub use app::App;

#[cfg(feature = "shell")]
mod app {
    use dispatch_service::start::Surroundings;

    use crate::{config::Config, error::IngestError, shell};

    /// The service, ready to run.
    #[derive(Debug)]
    pub struct App {
        config: Config,
        surroundings: Surroundings,
        conditions: shell::Conditions,
    }

    impl App {
        /// Puts the service together. Nothing is connected yet.
        #[must_use]
        pub fn build(config: Config, surroundings: Surroundings) -> Self {
            let conditions = shell::Conditions::new(&surroundings.health);
            Self {
                config,
                surroundings,
                conditions,
            }
        }

        /// Holds the shards until the process is asked to end.
        ///
        /// # Errors
        ///
        /// If Discord refuses the bot in a way that trying again can't mend, or the settings don't fit what Discord says.
        pub async fn run(self) -> Result<(), IngestError> {
            shell::run(self.config, self.surroundings, self.conditions).await
        }
    }
}
