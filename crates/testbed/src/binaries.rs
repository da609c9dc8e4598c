//! Where the services' binaries are.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Names the folder of the binaries; set by `cargo xtask test`.
pub const BIN_DIR: &str = "DISPATCH_BIN_DIR";

/// The folder of this program's profile below cargo's target folder.
const PROFILE: &str = if OPTIMISED { "release" } else { "debug" };

/// What has cargo build in this program's profile.
const FLAGS: &str = if OPTIMISED { "--release " } else { "" };

/// Whether this program was built in the release profile.
pub const OPTIMISED: bool = !cfg!(debug_assertions);

/// A service's binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Holds the shards.
    GatewayIngest,
    /// Keeps the cache, publishes the events.
    CacheWriter,
    /// Routes the commands.
    CommandRouter,
}

impl Service {
    /// All of them, in the order in which a stack starts them: each finds its readers waiting.
    pub const ALL: [Self; 3] = [Self::CacheWriter, Self::CommandRouter, Self::GatewayIngest];

    /// Name of its package and binary.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GatewayIngest => "gateway-ingest",
            Self::CacheWriter => "cache-writer",
            Self::CommandRouter => "command-router",
        }
    }

    /// Path of its binary.
    ///
    /// # Errors
    ///
    /// If it hasn't been built: the message says how to.
    pub fn binary(self) -> Result<PathBuf> {
        let path = directory().join(self.name());
        if !path.is_file() {
            bail!(
                "{} is not there: build it with `cargo build {FLAGS}--workspace --bins`, or run `cargo xtask test`",
                path.display(),
            );
        }
        Ok(path)
    }
}

/// The folder of the binaries: [`BIN_DIR`], else where cargo puts what it builds in the profile of this program.
#[must_use]
pub fn directory() -> PathBuf {
    if let Some(directory) = std::env::var_os(BIN_DIR) {
        return directory.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    // Relative to the workspace, as cargo run from there takes it.
    workspace()
        .join(target.unwrap_or_else(|| "target".into()))
        .join(PROFILE)
}

/// The workspace's folder.
#[must_use]
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspace_is_where_the_lock_file_is() {
        assert!(workspace().join("Cargo.lock").is_file());
    }
}
