//! What happens to many shards at once is said a few times, and then counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// In so much time …
const PERIOD: Duration = Duration::from_secs(10);
/// … so many lines of a kind are written.
const LINES: u32 = 20;

/// How often what was said lately.
#[derive(Debug, Default)]
pub struct Repeats {
    kinds: BTreeMap<&'static str, Kind>,
}

#[derive(Debug)]
struct Kind {
    since: Instant,
    lines: u32,
    suppressed: u64,
}

impl Repeats {
    /// Whether to write a line of this kind now; if so, how many of the kind were not written since the last one.
    pub fn next(&mut self, kind: &'static str, now: Instant) -> Option<u64> {
        let kind = self.kinds.entry(kind).or_insert(Kind {
            since: now,
            lines: 0,
            suppressed: 0,
        });
        if now.saturating_duration_since(kind.since) >= PERIOD {
            kind.since = now;
            kind.lines = 0;
        }
        if kind.lines == LINES {
            kind.suppressed += 1;
            return None;
        }
        kind.lines += 1;
        Some(std::mem::take(&mut kind.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_and_then_a_number() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        let written = |repeats: &mut Repeats, kind, at| {
            (0..100)
                .filter_map(|_| repeats.next(kind, at))
                .collect::<Vec<_>>()
        };
        assert_eq!(written(&mut repeats, "a", start), [0; 20]);
        assert_eq!(written(&mut repeats, "b", start), [0; 20]);
        let later = start + PERIOD;
        let mut expected = [0; 20];
        expected[0] = 80;
        assert_eq!(written(&mut repeats, "a", later), expected);
    }
}
