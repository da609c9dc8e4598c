//! Several log files as one stream of whole lines.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::terminal::print;

/// The width of a service's name before each line.
const NAME: usize = 16;
/// Bytes read of a file in one go.
const CHUNK: u64 = 1024 * 1024;

/// Reads what is added to the logs in a folder.
#[derive(Debug)]
pub(crate) struct Follower {
    dir: PathBuf,
    prefix: String,
    files: BTreeMap<String, Followed>,
}

#[derive(Debug, Default)]
struct Followed {
    read: u64,
    /// The beginning of a line whose end is not there yet.
    unfinished: Vec<u8>,
}

impl Follower {
    /// The logs in `dir` whose name begins with `prefix`, from their beginning.
    pub(crate) fn new(dir: &Path, prefix: &str) -> Self {
        Self {
            dir: dir.to_owned(),
            prefix: prefix.to_owned(),
            files: BTreeMap::new(),
        }
    }

    /// Whether there is no such log.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Prints the lines that have been added.
    pub(crate) fn print_new(&mut self) -> Result<()> {
        for line in self.new_lines()? {
            print(&line);
        }
        Ok(())
    }

    /// The lines that have been added, file by file, each after its file's name.
    pub(crate) fn new_lines(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for entry in fs::read_dir(&self.dir).context("the folder of logs has gone")? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str());
            let is_log = path.extension().is_some_and(|extension| extension == "log");
            if let (Some(name), true) = (name, is_log)
                && name.starts_with(&self.prefix)
            {
                let followed = self.files.entry(name.to_owned()).or_default();
                let added = followed.read(&path)?;
                lines.extend(added.map(|line| format!("{name:<NAME$} {line}")));
            }
        }
        Ok(lines)
    }
}

impl Followed {
    fn read(&mut self, path: &Path) -> io::Result<impl Iterator<Item = String>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = std::mem::take(&mut self.unfinished);
        self.read += file.take(CHUNK).read_to_end(&mut text)? as u64;
        let end = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        self.unfinished = text.split_off(end);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = whole.lines().map(str::to_owned).collect();
        Ok(lines.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn whole_lines_are_told_once_of_the_files_that_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let append = |name: &str, text: &str| {
            let mut options = File::options();
            let file = options
                .create(true)
                .append(true)
                .open(dir.path().join(name));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        };
        let mut follower = Follower::new(dir.path(), "cache");
        assert!(follower.new_lines().unwrap().is_empty());
        assert!(follower.is_empty());
        append("cache-writer-0.log", "one\ntw");
        append("gateway-ingest.log", "other\n");
        append("cache.txt", "no log\n");
        assert_eq!(follower.new_lines().unwrap(), ["cache-writer-0   one"]);
        append("cache-writer-0.log", "o\nthree\n");
        append("cache-writer-1.log", "first\n");
        let mut lines = follower.new_lines().unwrap();
        lines.sort();
        assert_eq!(
            lines,
            [
                "cache-writer-0   three",
                "cache-writer-0   two",
                "cache-writer-1   first"
            ]
        );
        assert!(follower.new_lines().unwrap().is_empty());
    }
}
