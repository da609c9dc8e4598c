//! Which shard may identify when.
//!
//! Discord allows one identify for each bucket (`shard % max_concurrency`) every 5 s, and so many a day; **beyond that it resets
//! the token** (Discord, "Session Start Limit Object"). Others may spend from the same limit: other processes, or a developer
//! with the same token. So the limit is read again before identifies are spent, and what is below the reserve is left alone:
//! resuming costs nothing.
//!
//! The processes of a bot spend from one budget, on Redis: each decides here which of its shards is next, asks the budget ([`Ask`]), and
//! learns from the answer what the others have spent. Where the budget does not answer, nothing is spent.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use super::shards::buckets;

/// Least time between two identifies of a bucket. Discord says 5 s; what is sent 5.00 s apart may arrive 4.98 s apart.
const LEAST_WAIT: Duration = Duration::from_millis(5_250);
/// A limit that was read longer ago is read again before anything is spent.
const FRESH: Duration = Duration::from_secs(60);
/// With fewer left above the reserve than this, each identify of a bucket has a reading of its own: an older one may be all that is known
/// when the shared budget is lost.
const LOW: u32 = 50;
/// Least time between two readings, however many identifies are asked for.
const BETWEEN_READINGS: Duration = Duration::from_secs(15);
/// How long an answer is waited for before what is known must do.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause of a shard whose identify led to nothing, doubled with each that follows.
const FIRST_DELAY: Duration = Duration::from_secs(10);
/// The pause grows no further at first: once Discord behaves again the shard is to be live within a minute.
const SHORT_DELAY: Duration = Duration::from_secs(40);
/// After so many in a row, some six minutes, it does: at the short pause a day's identifies would be gone within hours.
const MANY_ATTEMPTS: u32 = 12;
const LONGEST_DELAY: Duration = Duration::from_secs(10 * 60);
/// Time until the budget is asked again that did not answer.
const AWAY: Duration = Duration::from_secs(1);
/// Discord's limits last a day, counted from the first use.
const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// `IDENTIFY_RESERVE`: how many identifies are never spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// So many.
    Number(u32),
    /// So many of a hundred.
    Percent(u32),
}

impl Reserve {
    /// Identifies of `total` that are not spent.
    #[must_use]
    pub fn of(self, total: u32) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => (u64::from(total) * u64::from(percent) / 100) as u32,
        }
    }
}

impl FromStr for Reserve {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_suffix('%') {
            Some(percent) => percent
                .trim()
                .parse()
                .ok()
                .filter(|percent| *percent <= 100)
                .map(Self::Percent),
            None => text.parse().ok().map(Self::Number),
        }
        .ok_or(())
    }
}

/// What the settings say about identifies.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Time between two identifies of a bucket.
    pub wait: Duration,
    /// How many may identify at once, if fewer than Discord allows.
    pub concurrency: Option<u32>,
    /// What is not spent.
    pub reserve: Reserve,
}

/// Discord's limit, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Identifies until it resets.
    pub total: u32,
    /// Identifies that are left.
    pub remaining: u32,
    /// Time until it resets.
    pub reset_after: Duration,
    /// Shards that may identify at once.
    pub max_concurrency: u32,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The budget that all processes share is to be asked, and the answer told ([`Identifies::answered`]).
    Ask(Ask),
    /// The limit must be read before anything is spent.
    Read,
    /// Nothing before this time.
    Wait(Duration),
    /// The reserve is reached: nothing before this time.
    Reserved {
        /// Identifies that are left.
        left: u32,
        /// When the limit is looked at again.
        until: Duration,
    },
    /// No shard waits.
    Idle,
}

/// What the shared budget is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The shard that is to identify.
    pub shard: u32,
    /// Its bucket, of so many.
    pub bucket: u32,
    /// How many buckets there are.
    pub buckets: u32,
    /// Time between two identifies of a bucket.
    pub wait: Duration,
    /// What must be left.
    pub reserve: u32,
    /// With fewer left above the reserve than this, nothing is spent on a reading that is older than the bucket's last identify.
    pub low: u32,
    /// Discord's limit as this process has read it last.
    pub read: Limit,
    /// How long ago that was.
    pub read_ago: Duration,
}

/// What the shared budget answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The shard may identify now; that is counted.
    pub granted: bool,
    /// Identifies that are left.
    pub left: u32,
    /// How long ago the bucket was used by whichever process, if that is known.
    pub used_ago: Option<Duration>,
}

/// The identifies of all shards of a process. Times are counted from any fixed moment.
#[derive(Debug)]
pub struct Identifies {
    policy: Policy,
    /// In the order in which they asked.
    waiting: Vec<u32>,
    left: u32,
    total: u32,
    buckets: u32,
    resets_at: Duration,
    /// The limit as it was read last, and when.
    limit: Limit,
    read_at: Duration,
    /// The budget has not answered: not before this time again.
    away_until: Duration,
    /// When a reading was begun that has not ended.
    reading: Option<Duration>,
    /// Times of the last identify of each bucket.
    used: BTreeMap<u32, Duration>,
    shards: BTreeMap<u32, Attempts>,
}

/// A shard's identifies since its last session began.
#[derive(Clone, Copy, Debug)]
struct Attempts {
    number: u32,
    last: Duration,
}

impl Identifies {
    /// With the limit read at `now`.
    #[must_use]
    pub fn new(policy: Policy, limit: Limit, now: Duration) -> Self {
        let mut identifies = Self {
            policy,
            waiting: Vec::new(),
            left: 0,
            total: 0,
            buckets: 1,
            resets_at: now,
            limit,
            read_at: now,
            away_until: now,
            reading: None,
            used: BTreeMap::new(),
            shards: BTreeMap::new(),
        };
        identifies.read(limit, now);
        identifies
    }

    /// The limit was read.
    pub fn read(&mut self, limit: Limit, now: Duration) {
        self.reading = None;
        self.limit = limit;
        self.read_at = now;
        self.left = limit.remaining;
        self.total = limit.total;
        self.resets_at = now + limit.reset_after;
        let buckets = buckets(limit.max_concurrency, self.policy.concurrency);
        if buckets != self.buckets {
            // Which identifies fall into which of the new ones is not worth working out: all wait once.
            let last = self.used.values().max().copied();
            self.used = (last.into_iter())
                .flat_map(|last| (0..buckets).map(move |bucket| (bucket, last)))
                .collect();
            self.buckets = buckets;
        }
    }

    /// The shard wants to identify.
    pub fn request(&mut self, shard: u32) {
        if !self.waiting.contains(&shard) {
            self.waiting.push(shard);
        }
    }

    /// The shard does not want to any more.
    pub fn withdraw(&mut self, shard: u32) {
        self.waiting.retain(|waiting| *waiting != shard);
    }

    /// The shard's session has begun: its identifies don't fail.
    pub fn begun(&mut self, shard: u32) {
        self.shards.remove(&shard);
    }

    /// Identifies that are left, as far as is known.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.left
    }

    /// The budget has answered. A shard that may identify is off the list.
    pub fn answered(&mut self, ask: Ask, answer: Answer, now: Duration) {
        self.left = answer.left;
        if answer.granted {
            self.spent(ask.shard, now);
        } else if let Some(ago) = answer.used_ago
            && ask.buckets == self.buckets
        {
            self.used.insert(ask.bucket, now.saturating_sub(ago));
        }
    }

    /// The budget has not answered.
    pub fn unanswered(&mut self, now: Duration) {
        self.away_until = now + AWAY;
    }

    /// What to do now.
    pub fn step(&mut self, now: Duration) -> Step {
        if self.waiting.is_empty() {
            return Step::Idle;
        }
        if now < self.away_until {
            return Step::Wait(self.away_until);
        }
        let shard = match self.next(now) {
            Ok(shard) => shard,
            Err(at) => return Step::Wait(at),
        };
        if !self.is_fresh(shard, now) {
            match self.reading {
                None if now >= self.read_at + BETWEEN_READINGS || now >= self.resets_at => {
                    self.reading = Some(now);
                    return Step::Read;
                }
                None => return Step::Wait(self.read_at + BETWEEN_READINGS),
                Some(since) if now < since + PATIENCE => return Step::Wait(since + PATIENCE),
                // Discord doesn't say. Well above the reserve, our own count is good enough; below, only Discord's is.
                Some(_) if self.spendable() < LOW => return Step::Wait(now + FRESH),
                Some(_) => {}
            }
        }
        if now >= self.resets_at {
            self.left = self.total;
            self.resets_at = now + PERIOD;
        }
        if self.spendable() == 0 {
            let until = self.resets_at.min(now + FRESH).max(now + BETWEEN_READINGS);
            return Step::Reserved {
                left: self.left,
                until,
            };
        }
        Step::Ask(Ask {
            shard,
            bucket: shard % self.buckets,
            buckets: self.buckets,
            wait: self.wait(),
            reserve: self.policy.reserve.of(self.total),
            low: LOW,
            read: self.limit,
            read_ago: now.saturating_sub(self.read_at),
        })
    }

    fn wait(&self) -> Duration {
        self.policy.wait.max(LEAST_WAIT)
    }

    fn spendable(&self) -> u32 {
        self.left.saturating_sub(self.policy.reserve.of(self.total))
    }

    fn is_fresh(&self, shard: u32, now: Duration) -> bool {
        let used = self.used.get(&(shard % self.buckets)).copied();
        let covers_it = self.spendable() >= LOW || used.is_none_or(|used| used < self.read_at);
        now < self.resets_at && now < self.read_at + FRESH && covers_it
    }

    /// The first in line whose bucket and own delay let it go, or when there is one.
    fn next(&self, now: Duration) -> Result<u32, Duration> {
        let mut earliest = Duration::MAX;
        for shard in &self.waiting {
            let at = self.free_at(*shard);
            if at <= now {
                return Ok(*shard);
            }
            earliest = earliest.min(at);
        }
        Err(earliest)
    }

    fn free_at(&self, shard: u32) -> Duration {
        let bucket = self.used.get(&(shard % self.buckets));
        let bucket = bucket.map_or(Duration::ZERO, |used| *used + self.wait());
        let delay = self.shards.get(&shard).map_or(Duration::ZERO, |attempts| {
            attempts.last + delay_after(attempts.number)
        });
        bucket.max(delay)
    }

    fn spent(&mut self, shard: u32, now: Duration) {
        self.withdraw(shard);
        self.used.insert(shard % self.buckets, now);
        let number = self.shards.get(&shard).map_or(0, |before| before.number);
        let attempts = Attempts {
            number: number.saturating_add(1),
            last: now,
        };
        self.shards.insert(shard, attempts);
    }
}

fn delay_after(attempts: u32) -> Duration {
    let doubled = |first: Duration, times: u32| first.saturating_mul(2_u32.saturating_pow(times));
    match attempts.checked_sub(MANY_ATTEMPTS) {
        Some(more) => doubled(SHORT_DELAY, more).min(LONGEST_DELAY),
        None => doubled(FIRST_DELAY, attempts.saturating_sub(1)).min(SHORT_DELAY),
    }
}
