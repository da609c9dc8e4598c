//! Where logs and the servers' data are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A folder that goes with this, or stays.
#[derive(Debug)]
pub(super) enum Folder {
    /// Goes.
    Temporary(tempfile::TempDir),
    /// Stays.
    Kept(PathBuf),
}

impl Folder {
    /// A temporary folder, or the one that is to be kept.
    pub(super) fn new(kept: Option<&Path>) -> Result<Self> {
        let Some(kept) = kept else {
            let dir = tempfile::Builder::new().prefix("dispatch-").tempdir()?;
            return Ok(Self::Temporary(dir));
        };
        let shown = kept.display();
        fs::create_dir_all(kept).with_context(|| format!("can't make {shown}"))?;
        if fs::read_dir(kept)?.next().is_some() {
            bail!("{shown} is not empty: it holds what an earlier run has kept, or something else");
        }
        Ok(Self::Kept(kept.canonicalize()?))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(path) => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_before_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        let kept = Folder::new(Some(&path)).unwrap();
        fs::write(kept.path().join("gateway-ingest.log"), "x").unwrap();
        drop(kept);
        assert!(path.join("gateway-ingest.log").is_file());
        assert!(Folder::new(Some(&path)).is_err());
    }
}
