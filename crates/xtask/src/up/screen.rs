//! The live picture: redrawn in place on a terminal, a line a second elsewhere.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use super::rates::Rates;
use super::sample::Sample;
use crate::duration;

/// Event names shown, by frequency.
const NAMES: usize = 6;
/// Families of the cache on a line.
const FAMILIES: usize = 6;
/// Lines are cut at this many characters, so that none wraps on a usual terminal.
const WIDTH: usize = 118;

/// Seconds of the past that the rate's line shows.
const PAST: usize = 60;
/// A column of the rate's line, from nothing to the most.
const COLUMNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Where the picture is drawn.
#[derive(Debug)]
pub(super) struct Screen {
    plain: bool,
    /// Lines of the picture on the screen.
    drawn: usize,
    /// Events published in each of the last seconds.
    past: VecDeque<f64>,
    /// Violations that have been printed.
    told: usize,
}

impl Screen {
    pub(super) fn new(plain: bool) -> Self {
        Self {
            plain: plain || !stdout().is_terminal(),
            drawn: 0,
            past: VecDeque::with_capacity(PAST),
            told: 0,
        }
    }

    /// Shows a second. Plain, the addresses are printed once.
    pub(super) fn show(
        &mut self,
        addresses: &[(String, String)],
        rates: &Rates,
        now: &Sample,
        violations: &[String],
        elapsed: Duration,
    ) {
        let mut text = String::new();
        if self.past.len() == PAST {
            self.past.pop_front();
        }
        self.past.push_back(rates.published);
        if self.plain {
            if self.drawn == 0 {
                addresses
                    .iter()
                    .for_each(|(name, at)| text += &format!("{name:<16} {at}\n"));
                self.drawn = 1;
            }
            for violation in violations.iter().skip(self.told) {
                text += &format!("VIOLATION {violation}\n");
            }
            self.told = violations.len();
            text += &line(rates, now, violations.len(), elapsed);
            text.push('\n');
        } else {
            if self.drawn > 0 {
                // Up, and clear: the next picture may have fewer lines.
                text += &format!("\x1b[{}A\x1b[J", self.drawn);
            }
            let lines = picture(addresses, rates, now, violations, &self.past, elapsed);
            self.drawn = lines.len();
            for line in lines {
                let line: String = line.chars().take(WIDTH).collect();
                text += &format!("{line}\n");
            }
        }
        // A reader that went away (`| head`) is no reason to fail.
        let _ = stdout()
            .write_all(text.as_bytes())
            .and_then(|()| stdout().flush());
    }
}

fn line(rates: &Rates, now: &Sample, violations: usize, elapsed: Duration) -> String {
    format!(
        "{:>5}  shards {}{}  in {:.0}/s  out {:.0}/s ({})  lag {}  latency {}  {}  cache {}",
        duration::show(elapsed),
        connected(now),
        owned(now),
        rates.received,
        rates.published,
        names(rates),
        lag(now),
        latency(rates),
        wrong(now, violations),
        cache(now).join(" · "),
    )
}

fn picture(
    addresses: &[(String, String)],
    rates: &Rates,
    now: &Sample,
    violations: &[String],
    past: &VecDeque<f64>,
    elapsed: Duration,
) -> Vec<String> {
    let total = |count: u64| format!("{count} in all");
    let mut lines = vec![
        format!(
            "Dispatch, up {}. Ctrl-C stops everything.",
            duration::show(elapsed)
        ),
        String::new(),
        format!("{:<16} {}", "shards", shards(now)),
    ];
    if now.owned.len() > 1 {
        let owned = now.owned.iter();
        lines.extend(owned.map(|(name, shards)| format!("{name:<16} owns {}", numbers(shards))));
    }
    lines.extend([
        format!(
            "{:<16} {:>8.0} events/s, {}",
            "in",
            rates.received,
            total(now.received())
        ),
        format!(
            "{:<16} {:>8.0} events/s, {}",
            "out",
            rates.published,
            total(now.published())
        ),
        format!("{:<16} {}", "", rate_line(past)),
        format!("{:<16} {}", "", names(rates)),
        format!("{:<16} {} frames wait in the raw queues", "lag", lag(now)),
        format!(
            "{:<16} {} from Discord's socket to RabbitMQ's confirm",
            "latency",
            latency(rates)
        ),
        format!("{:<16} {}", "wrong", wrong(now, violations.len())),
    ]);
    // The newest says what to look for; all of them are in `cargo xtask sim status`.
    if let Some(newest) = violations.last() {
        lines.push(format!("{:<16} {newest}", ""));
    }
    for (n, families) in cache(now).chunks(FAMILIES).enumerate() {
        let label = if n == 0 { "cache" } else { "" };
        lines.push(format!("{label:<16} {}", families.join(" · ")));
    }
    lines.push(String::new());
    lines.extend(
        addresses
            .iter()
            .map(|(name, at)| format!("{name:<16} {at}")),
    );
    lines
}

fn shards(now: &Sample) -> String {
    let one = |shard: &dispatch_proto::session::ShardStatus| {
        format!("{} {} {} ms", shard.shard, shard.status, shard.latency)
    };
    match now.shards.len() {
        0 => "unknown".to_owned(),
        1..=8 => now.shards.iter().map(one).collect::<Vec<_>>().join(" · "),
        _ => format!("{} connected", connected(now)),
    }
}

/// How many each gateway-ingest owns, if there are several: ` (3+3+2)`.
fn owned(now: &Sample) -> String {
    let counts = now.owned.iter().map(|(_, shards)| shards.len().to_string());
    match counts.len() {
        0 | 1 => String::new(),
        _ => format!(" ({})", counts.collect::<Vec<_>>().join("+")),
    }
}

fn numbers(shards: &[u32]) -> String {
    let numbers = shards.iter().map(u32::to_string);
    numbers.collect::<Vec<_>>().join(" ")
}

fn connected(now: &Sample) -> String {
    let connected = now
        .shards
        .iter()
        .filter(|shard| shard.status == "Connected")
        .count();
    format!("{connected}/{}", now.shards.len())
}

fn names(rates: &Rates) -> String {
    let name = |(name, rate): &(String, f64)| format!("{name} {rate:.0}");
    rates
        .by_name
        .iter()
        .take(NAMES)
        .map(name)
        .collect::<Vec<_>>()
        .join(" · ")
}

fn lag(now: &Sample) -> String {
    now.lag.map_or("?".to_owned(), |frames| frames.to_string())
}

fn latency(rates: &Rates) -> String {
    rates
        .latency_ms
        .map_or("?".to_owned(), |latency| format!("{latency:.1} ms"))
}

/// What should be nothing: gaps, dead letters, and violations of Discord's rules.
fn wrong(now: &Sample, violations: usize) -> String {
    let dead = now.dead.map_or("?".to_owned(), |dead| dead.to_string());
    format!(
        "gaps {}  dead letters {dead}  violations {violations}",
        now.gaps()
    )
}

/// A column for each second, as high as its share of the fastest one.
fn rate_line(past: &VecDeque<f64>) -> String {
    let most = past.iter().copied().fold(1.0, f64::max);
    let highest = (COLUMNS.len() - 1) as f64;
    let column = |rate: &f64| COLUMNS[(rate / most * highest).round() as usize];
    past.iter().map(column).collect()
}

fn cache(now: &Sample) -> Vec<String> {
    let sizes = now.cached().into_iter().filter(|(_, size)| *size > 0);
    sizes
        .map(|(family, size)| format!("{family} {size}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use dispatch_proto::session::ShardStatus;
    use testbed::metrics::Metrics;

    use super::*;

    #[test]
    fn a_plain_line_says_it_all() {
        let shard = |shard, status: &str| ShardStatus {
            shard,
            status: status.to_owned(),
            latency: 12,
            last_ack: String::new(),
        };
        let now = Sample {
            at: Instant::now(),
            ingest: Metrics::default(),
            owned: vec![("a".to_owned(), vec![0, 2]), ("b".to_owned(), vec![1])],
            writers: Metrics::parse("state_guilds 3\nstate_voices 0\nstate_guilds 2\n"),
            shards: vec![shard(0, "Connected"), shard(1, "Resuming")],
            lag: Some(4),
            dead: Some(1),
        };
        let rates = Rates {
            received: 10.2,
            published: 9.8,
            by_name: vec![("TYPING_START".to_owned(), 9.8)],
            latency_ms: Some(1.25),
        };
        assert_eq!(
            line(&rates, &now, 2, Duration::from_secs(61)),
            " 1:01  shards 1/2 (2+1)  in 10/s  out 10/s (TYPING_START 10)  lag 4  latency 1.2 ms  \
             gaps 0  dead letters 1  violations 2  cache guilds 3"
        );
        assert_eq!(shards(&now), "0 Connected 12 ms · 1 Resuming 12 ms");
    }

    #[test]
    fn the_rate_line_goes_from_nothing_to_the_most() {
        assert_eq!(rate_line(&[0.0, 50.0, 100.0].into()), "▁▅█");
        assert_eq!(rate_line(&[0.0].into()), "▁");
    }
}
