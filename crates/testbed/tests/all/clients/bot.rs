//! A bot in another language, as a process: it prints what it receives and does what it is told, in lines of JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use testbed::child::log_tail;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Longest wait for one line. Far more than it takes, for machines under load.
const LIMIT: Duration = Duration::from_secs(30);

/// What has been received, in that order, by subgroup and event.
pub(crate) type Received = BTreeMap<(String, String), Vec<Value>>;

/// A running bot.
pub(crate) struct Bot {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    received: Received,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Event {
        event: String,
        #[serde(default)]
        subgroup: String,
        data: Value,
    },
    Done {
        done: String,
        #[serde(default)]
        result: Value,
    },
}

impl Bot {
    /// Starts it; its error output goes to a file in `dir`.
    pub(crate) fn start(command: &mut Command, dir: &Path) -> Result<Self> {
        let log = dir.join("bot.log");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("no output")?;
        Ok(Self {
            input: child.stdin.take().context("no input")?,
            output: BufReader::new(output).lines(),
            child,
            log,
            received: Received::new(),
        })
    }

    /// Has it do something, and returns what that gave.
    pub(crate) async fn have(&mut self, what: &str, argument: Value) -> Result<Value> {
        let line = format!("{}\n", json!({ what: argument }));
        self.input.write_all(line.as_bytes()).await?;
        loop {
            if let Some((done, result)) = self.line().await? {
                ensure!(done == what, "{done} is done, not {what}");
                return Ok(result);
            }
        }
    }

    /// Waits until it has received so many events in all.
    pub(crate) async fn receives(&mut self, count: usize) -> Result<()> {
        while self.received.values().map(Vec::len).sum::<usize>() < count {
            let done = self.line().await?;
            ensure!(done.is_none(), "{done:?}");
        }
        Ok(())
    }

    /// Has it end, which it must in order; returns all that it has received.
    pub(crate) async fn end(mut self) -> Result<Received> {
        self.input.shutdown().await?;
        drop(self.input);
        while let Some(line) = timeout(LIMIT, self.output.next_line()).await?? {
            note(&mut self.received, &line)?;
        }
        let status = timeout(LIMIT, self.child.wait()).await??;
        ensure!(status.success(), "{status}\n{}", log_tail(&self.log, 30));
        Ok(self.received)
    }

    /// Reads a line: what has been done, `None` if it was an event.
    async fn line(&mut self) -> Result<Option<(String, Value)>> {
        let line = match timeout(LIMIT, self.output.next_line()).await {
            Ok(line) => line?.context("the bot has ended"),
            Err(_) => Err(anyhow::anyhow!("the bot says nothing")),
        };
        let line = line.with_context(|| log_tail(&self.log, 30))?;
        note(&mut self.received, &line)
    }
}

fn note(received: &mut Received, line: &str) -> Result<Option<(String, Value)>> {
    match serde_json::from_str(line).with_context(|| line.to_owned())? {
        Line::Done { done, result } => Ok(Some((done, result))),
        Line::Event {
            event,
            subgroup,
            data,
        } => {
            received.entry((subgroup, event)).or_default().push(data);
            Ok(None)
        }
    }
}
