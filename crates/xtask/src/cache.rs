//! `cargo xtask cache`: looks into the cache of a running stack.

mod children;
mod expected;
mod show;
mod verify;

use std::process::ExitCode;

use anyhow::Result;

/// Looks into the cache of a running stack.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Compares the cache with the simulator's truth and prints what differs.
    ///
    /// A difference that goes away while it is looked at again is the events that are on their way. Once the stack has
    /// run for as long as STATE_MESSAGE_TTL (STATE_MEMBER_TTL, if set), a message (member) may have expired: one that is
    /// missing counts only if it was sent while this looks on, and of one that is there, the cached fields must be right.
    Verify,
    Show(show::Args),
}

pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Verify => verify::run().await,
        Command::Show(args) => show::run(args).await,
    }
}
