//! The simulator in its container, by its control API.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use discord_sim::SentBody;
use serde::Deserialize;
use serde_json::Value;
use testbed::collector::check::Expected;
use testbed::http::{self, Answer};

use super::SHARDS;

/// What was sent, by shard.
pub(super) type Sent = BTreeMap<u32, Vec<Expected>>;

pub(super) struct Simulator {
    port: u16,
}

impl Simulator {
    pub(super) fn at(port: u16) -> Self {
        Self { port }
    }

    /// Everything sent so far.
    pub(super) async fn sent(&self) -> Result<Sent> {
        let mut sent = Sent::new();
        for shard in 0..SHARDS {
            let of_shard: &mut Vec<Expected> = sent.entry(shard).or_default();
            loop {
                let after = of_shard.len();
                let path = format!("/sim/sent?shard={shard}&after={after}");
                let page: Vec<SentBody> = self.read(&path).await?;
                if page.is_empty() {
                    break;
                }
                of_shard.extend(page.into_iter().map(expected));
            }
        }
        Ok(sent)
    }

    /// What the cache must hold.
    pub(super) async fn truth(&self) -> Result<BTreeMap<String, Value>> {
        self.read("/sim/truth").await
    }

    pub(super) async fn start_load(&self, rate: u32) -> Result<()> {
        let body = format!(r#"{{"rate":{rate}}}"#);
        done(http::post(self.port, "/sim/load", &body).await?)
    }

    pub(super) async fn stop_load(&self) -> Result<()> {
        done(http::delete(self.port, "/sim/load").await?)
    }

    async fn read<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T> {
        let answer = http::fetch(self.port, path).await?;
        serde_json::from_str(&answer.body)
            .with_context(|| format!("the simulator's answer to {path}: {}", answer.status))
    }
}

fn done(answer: Answer) -> Result<()> {
    let status = answer.status;
    ensure!(
        (200..300).contains(&status),
        "the simulator answers {status}"
    );
    Ok(())
}

fn expected(event: SentBody) -> Expected {
    Expected {
        session: event.session,
        seq: event.seq,
        name: event.t,
        data: event.d.into(),
        old: event.old,
        old_unsure: false,
        deliverable: event.delivered || event.session_live,
    }
}
