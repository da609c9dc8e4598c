//! Counting what tests report.

use std::fmt::{self, Display};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Longest time for one test program, ten times what the longest takes.
const LIMIT: Duration = Duration::from_secs(1_200);

/// Passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    pub(super) fn count(&mut self, passed: bool) {
        self.add(Self {
            passed: u64::from(passed),
            failed: u64::from(!passed),
        });
    }

    /// Runs a test program, hands its output to `show` line by line, and counts. One that crashes, hangs or doesn't build reports
    /// no failure of its own: it counts as one.
    pub(super) async fn of(command: &mut Command, show: &mut impl FnMut(&str)) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't run {:?}", command.as_std().get_program()))?;
        let mut tally = Self::default();
        let ended = tokio::time::timeout(LIMIT, tally.follow(&mut child, show)).await;
        let success = match ended {
            Ok(success) => success?,
            Err(_) => {
                show(&format!(
                    "killed: it took longer than {} s\n",
                    LIMIT.as_secs()
                ));
                child.kill().await?;
                false
            }
        };
        if !success && tally.failed == 0 {
            tally.failed = 1;
        }
        Ok(tally)
    }

    /// Counts until the program ends; whether it ended well.
    async fn follow(&mut self, child: &mut Child, show: &mut impl FnMut(&str)) -> Result<bool> {
        let output = child.stdout.take().context("no output")?;
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).await? > 0 {
            let text = String::from_utf8_lossy(&line);
            show(&text);
            self.add(Self::reported(&text));
            line.clear();
        }
        Ok(child.wait().await?.success())
    }

    /// Reads `test result: ok. 20 passed; 1 failed; …`.
    fn reported(line: &str) -> Self {
        let Some(result) = line.strip_prefix("test result: ") else {
            return Self::default();
        };
        let count = |what: &str| {
            let before = result.split(what).next()?;
            before
                .rsplit([' ', '.'])
                .find(|word| !word.is_empty())?
                .parse()
                .ok()
        };
        Self {
            passed: count(" passed").unwrap_or_default(),
            failed: count(" failed").unwrap_or_default(),
        }
    }
}

impl Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(script: &str) -> String {
        let tally = Tally::of(Command::new("sh").args(["-c", script]), &mut |_| {}).await;
        tally.unwrap().to_string()
    }

    #[tokio::test]
    async fn results_are_counted_and_a_crash_is_a_failure() {
        let results =
            "echo 'test result: FAILED. 14 passed; 2 failed; 0 ignored'; echo 'test a ... ok'";
        assert_eq!(
            of(&format!("{results}; exit 101")).await,
            "14 passed, 2 failed"
        );
        assert_eq!(of("exit 101").await, "0 passed, 1 failed");
        assert_eq!(of("kill -9 $$").await, "0 passed, 1 failed");
        assert_eq!(of("exit 0").await, "0 passed, 0 failed");
    }
}
