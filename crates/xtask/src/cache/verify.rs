//! The cache against the simulator's truth.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use dispatch_proto::namespace::Namespace;
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use testbed::collector::cache::{differences, read_within, values};
use testbed::servers::redis_connection;
use testbed::{http, wait};

use super::expected::Expectation;
use crate::running::Running;

/// Differences that are printed.
const SHOWN: usize = 50;
/// While events flow, the cache and the truth can't be read at the same instant: a difference counts if it stays, and is not judged
/// while the truth changes.
const SETTLE: Duration = Duration::from_secs(10);
/// Keys whose truth is asked for one by one; for more, all of it is read.
const ONE_BY_ONE: usize = 200;
/// The bot's own user.
const BOT: &str = "bot_user";
/// Where something may have expired: how long to wait for new events, which can't have.
const WATCH: Duration = Duration::from_secs(3);

pub(super) async fn run() -> Result<ExitCode> {
    let running = Running::find()?;
    let sim_url = running
        .sim_url
        .as_ref()
        .context("the stack runs against Discord: there is no truth to compare with")?;
    let known = truth(http::port(sim_url)?).await?.into_keys().collect();
    // Until the last look, at which all of it is a little older.
    let expectation = Expectation::new(&running.settings, running.age(), WATCH + SETTLE, known)?;
    let expiring = expectation.expiring();
    if !expiring.is_empty() {
        println!(
            "Old ones may have expired ({}): waiting {} s for new ones …",
            expiring.join(", "),
            WATCH.as_secs()
        );
        tokio::time::sleep(WATCH).await;
    }
    let mut eye = Eye {
        port: http::port(sim_url)?,
        redis: redis_connection(&running.redis_url).await?,
        namespace: running.namespace()?,
        expectation,
    };
    let mut seen = Seen::default();
    let settled = wait::until("the cache to settle", SETTLE, async || {
        let look = eye.look(seen.differing().as_deref()).await;
        seen.add(look)
    });
    let settled = settled.await.is_ok();
    let lasting = seen.lasting?;
    println!("{} keys, {} lasting differences", seen.keys, lasting.len());
    lasting
        .values()
        .take(SHOWN)
        .for_each(|difference| println!("  {difference}"));
    Ok(if settled {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Looks at the truth and at the cache.
struct Eye {
    port: u16,
    redis: MultiplexedConnection,
    namespace: Namespace,
    expectation: Expectation,
}

impl Eye {
    /// At these keys, or at all. A look at a few takes milliseconds: hardly anything changes meanwhile.
    async fn look(&mut self, keys: Option<&[String]>) -> Result<Look> {
        let before = self.truth(keys).await?;
        let cached = match keys {
            Some(keys) => values(&mut self.redis, &self.namespace, keys).await?,
            None => read_within(&mut self.redis, &self.namespace).await?,
        };
        let after = self.truth(keys).await?;
        let changing = changing(&before, &after);
        Ok(Look {
            truth: self.expectation.hold(before, &cached),
            cached,
            changing,
        })
    }

    async fn truth(&self, keys: Option<&[String]>) -> Result<BTreeMap<String, Value>> {
        let Some(keys) = keys.filter(|keys| keys.len() <= ONE_BY_ONE) else {
            let mut truth = truth(self.port).await?;
            if let Some(keys) = keys {
                truth.retain(|key, _| keys.contains(key));
            }
            return Ok(truth);
        };
        let mut truth = BTreeMap::new();
        for key in keys {
            let answer = http::fetch(self.port, &format!("/sim/truth/{key}")).await?;
            if answer.status == 200 {
                truth.insert(key.clone(), serde_json::from_str(&answer.body)?);
            }
        }
        Ok(truth)
    }
}

/// What several looks have in common.
#[derive(Debug)]
struct Seen {
    /// Keys that the first look compared.
    keys: usize,
    /// Differences of all looks so far, by key; an error until one has succeeded.
    lasting: Result<BTreeMap<String, String>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            keys: 0,
            lasting: Err(anyhow::anyhow!("nothing was read")),
        }
    }
}

/// The truth and the cache, as one look found them.
struct Look {
    truth: BTreeMap<String, Value>,
    cached: BTreeMap<String, String>,
    /// Keys whose truth changed while the cache was read.
    changing: BTreeSet<String>,
}

fn changing(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let keys = before.keys().chain(after.keys());
    keys.filter(|key| before.get(*key) != after.get(*key))
        .cloned()
        .collect()
}

impl Seen {
    /// The keys that differed in all looks so far, once there was one; with the bot's own, which says which member is its own.
    fn differing(&self) -> Option<Vec<String>> {
        let lasting = self.lasting.as_ref().ok()?;
        let bot = BOT.to_owned();
        Some(lasting.keys().cloned().chain([bot]).collect())
    }

    /// Returns whether no difference is left.
    fn add(&mut self, look: Result<Look>) -> bool {
        match (look, &mut self.lasting) {
            (Ok(look), lasting) => {
                if lasting.is_err() {
                    self.keys = look.truth.len();
                }
                let mut now = by_key(differences(&look.truth, &look.cached));
                if let Ok(before) = lasting {
                    now.retain(|key, _| before.contains_key(key));
                    // A later look tells.
                    let changing = before
                        .iter()
                        .filter(|(key, _)| look.changing.contains(*key));
                    now.extend(changing.map(|(key, line)| (key.clone(), line.clone())));
                }
                let settled = now.is_empty();
                *lasting = Ok(now);
                settled
            }
            // The last reason is told if none succeeds.
            (Err(error), lasting @ Err(_)) => {
                *lasting = Err(error);
                false
            }
            (Err(_), Ok(_)) => false,
        }
    }
}

async fn truth(port: u16) -> Result<BTreeMap<String, Value>> {
    let answer = http::fetch(port, "/sim/truth").await?;
    serde_json::from_str(&answer.body).context("the simulator's truth can't be read")
}

/// Each line begins with its key.
fn by_key(differences: Vec<String>) -> BTreeMap<String, String> {
    let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    differences
        .into_iter()
        .map(|line| (key(&line), line))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn look(truth: &[&str], cached: &[&str]) -> Result<Look> {
        let truth = truth.iter().map(|key| ((*key).to_owned(), json!({})));
        let cached = cached
            .iter()
            .map(|key| ((*key).to_owned(), "{}".to_owned()));
        Ok(Look {
            truth: truth.collect(),
            cached: cached.collect(),
            changing: BTreeSet::new(),
        })
    }

    #[test]
    fn what_changes_while_it_is_looked_at_is_judged_later() {
        let mut seen = Seen::default();
        let changing = |truth: &[&str], cached: &[&str]| {
            look(truth, cached).map(|look| Look {
                changing: ["a".to_owned()].into(),
                ..look
            })
        };
        assert!(!seen.add(look(&["a", "b"], &["b"])));
        assert!(!seen.add(changing(&["a", "b"], &["a", "b"])));
        assert!(!seen.add(changing(&["a", "b"], &["b"])));
        assert!(seen.add(look(&["a", "b"], &["a", "b"])));
        let before = [("a".to_owned(), json!(1)), ("b".to_owned(), json!(1))].into();
        let after = [("b".to_owned(), json!(2)), ("c".to_owned(), json!(1))].into();
        let keys: Vec<_> = super::changing(&before, &after).into_iter().collect();
        assert_eq!(keys, ["a", "b", "c"]);
    }

    #[test]
    fn a_difference_lasts_if_every_look_finds_it() {
        let mut seen = Seen::default();
        assert!(!seen.add(Err(anyhow::anyhow!("no answer"))));
        assert_eq!(seen.lasting.as_ref().unwrap_err().to_string(), "no answer");
        assert!(!seen.add(look(&["a", "b"], &[])));
        assert!(!seen.add(look(&["a", "b", "c"], &["b"])));
        assert_eq!(seen.differing().unwrap(), ["a", "bot_user"]);
        assert!(!seen.add(Err(anyhow::anyhow!("no answer"))));
        assert!(seen.add(look(&["a", "c"], &["a"])));
    }
}
