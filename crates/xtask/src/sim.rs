//! `cargo xtask sim`: the simulated Discord of a running stack, on a bad day.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use testbed::http::{self, Answer};

use crate::running::Running;
use crate::terminal::print;

/// Makes the simulated Discord of a running stack misbehave.
///
/// The faults and their fields are those of the simulator's control API (`crates/discord-sim`).
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// A fault of the gateway: `drop`, `reconnect`, `'{"close":4000}'`, `'{"invalid_session":{"resumable":false}}'` …
    Fault {
        /// Its name, or its JSON.
        fault: String,
        /// One shard; left out: all.
        #[arg(long)]
        shard: Option<u32>,
    },
    /// A fault of REST, as JSON: `'{"route":"/gateway/bot","status":429,"retry_after":"1","times":1}'`; `off` ends all.
    Rest {
        /// Its JSON.
        fault: String,
    },
    /// What the simulator counts.
    Status,
}

pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    let running = Running::find()?;
    let url = (running.sim_url).context("the stack runs against Discord itself")?;
    let port = http::port(&url)?;
    let answer = match command {
        Command::Fault { fault, shard } => {
            let body = json!({"fault": parsed(&fault), "shard": shard});
            http::post(port, "/sim/fault", &body.to_string()).await?
        }
        Command::Rest { fault } if fault == "off" => http::delete(port, "/sim/rest").await?,
        Command::Rest { fault } => http::post(port, "/sim/rest", &fault).await?,
        Command::Status => http::fetch(port, "/sim/status").await?,
    };
    print(&shown(&answer)?);
    Ok(ExitCode::SUCCESS)
}

/// A bare word is a fault without fields.
fn parsed(fault: &str) -> Value {
    serde_json::from_str(fault).unwrap_or_else(|_| fault.into())
}

fn shown(answer: &Answer) -> Result<String> {
    if !(200..300).contains(&answer.status) {
        bail!("the simulator answers {}: {}", answer.status, answer.body);
    }
    let value: Option<Value> = serde_json::from_str(&answer.body).ok();
    Ok(value.map_or_else(|| "Done.".to_owned(), |value| format!("{value:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_word_or_json() {
        assert_eq!(parsed("drop"), json!("drop"));
        assert_eq!(parsed(r#"{"close":4000}"#), json!({"close": 4000}));
    }

    #[test]
    fn a_refusal_of_the_simulator_is_an_error() {
        let answer = |status, body: &str| Answer {
            status,
            body: body.to_owned(),
        };
        assert_eq!(shown(&answer(204, "")).unwrap(), "Done.");
        assert!(
            shown(&answer(200, r#"{"reached":2}"#))
                .unwrap()
                .contains("2")
        );
        assert!(shown(&answer(422, "unknown variant")).is_err());
    }
}
