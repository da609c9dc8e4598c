//! The load: moves the world by events, at a rate or as fast as they are read.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use crate::{
    dispatcher::{Room, SessionKey},
    generator::Mix,
    state::{Shared, State},
};

/// Steps of the world under one hold of the lock.
const BATCH: u64 = 64;

/// As fast as the readers take it means: no session has more unwritten events than this.
const MAX_BEHIND: usize = 1_024;

/// How often a load at a rate looks whether events are due.
const TICK: Duration = Duration::from_millis(5);

/// How often a load that waits looks whether a disconnected session has expired.
const RECHECK: Duration = Duration::from_millis(20);

/// Steps in a row that no session was told of, after which a load gives up: its mix holds only
/// events that the sessions' intents leave out.
const MAX_UNTOLD: u64 = 50_000;

/// What events to make, how many, how fast.
///
/// A load makes events while there is a session to tell; with no session at all it waits. With a
/// rate it waits for no reader until a connected session's replay buffer is full, and events for a
/// disconnected session go into its replay buffer until that overflows, as at Discord. Without a
/// rate it waits whenever a session, connected or not, is more than 1,024 events behind.
#[derive(Debug, Clone)]
pub struct Load {
    /// How many dispatches to make (an event that goes to two sessions counts once); `None` = no
    /// end.
    pub events: Option<u64>,
    /// Events per second; `None` = as fast as the readers take them.
    pub rate: Option<f64>,
    /// Which events.
    pub mix: Mix,
    /// For how long; `None` = no end.
    pub duration: Option<Duration>,
}

impl Default for Load {
    /// The realistic mix, without an end, as fast as it is read.
    fn default() -> Self {
        Self {
            events: None,
            rate: None,
            mix: Mix::realistic(),
            duration: None,
        }
    }
}

/// Runs a load; returns how many dispatches were made.
pub(crate) async fn run(shared: &Shared, load: Load) -> u64 {
    let stop = shared.lock().loads.clone();
    let stopped = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.stop.cancelled() => {}
        }
    };
    let mut made = 0;
    tokio::select! {
        biased;
        () = stopped => {}
        () = make(shared, &load, &mut made) => {}
    }
    made
}

async fn make(shared: &Shared, load: &Load, made: &mut u64) {
    let start = Instant::now();
    let mut pace = load.rate.map(|rate| Pace::new(rate, start));
    let mut untold = 0;
    loop {
        let now = Instant::now();
        let left = load
            .events
            .map_or(BATCH, |events| events.saturating_sub(*made))
            .min(BATCH);
        let over = load
            .duration
            .is_some_and(|duration| now.duration_since(start) >= duration);
        if left == 0 || over {
            return;
        }
        let due = pace.as_mut().map_or(left, |pace| pace.due(now).min(left));
        if due == 0 {
            sleep(TICK).await;
            continue;
        }
        let progress = shared.progress.notified();
        tokio::pin!(progress);
        progress.as_mut().enable();
        let (told, room) = step(shared, load, due, &mut untold);
        *made += told;
        if let Some(pace) = &mut pace {
            pace.spend(told);
        }
        if untold >= MAX_UNTOLD {
            tracing::warn!("load ended: no session's intents ask for any event of its mix");
            return;
        }
        if room == Room::Free {
            // Let the writers have the lock.
            tokio::task::yield_now().await;
        } else {
            // Either is fine: the time to look again has come.
            let _ = timeout(RECHECK, progress).await;
            if let Some(pace) = &mut pace {
                pace.rest_until(Instant::now());
            }
        }
    }
}

/// Makes events at once, whoever reads them: the session and the sequence of each.
pub(crate) fn make_now(shared: &Shared, events: usize, mix: &Mix) -> Vec<(Arc<str>, u64)> {
    let mut state = shared.lock();
    let mut made = Vec::with_capacity(events);
    let mut untold = 0;
    while made.len() < events && untold < MAX_UNTOLD {
        let sessions = move_world(&mut state, mix, &mut untold).into_iter();
        let sessions = sessions.filter_map(|key| state.dispatcher.session(key));
        made.extend(sessions.map(|session| (Arc::clone(&session.id), session.sequence)));
    }
    made
}

fn step(shared: &Shared, load: &Load, due: u64, untold: &mut u64) -> (u64, Room) {
    let behind = load.rate.is_none().then_some(MAX_BEHIND);
    let mut state = shared.lock();
    let mut room = state.dispatcher.room(behind);
    if room != Room::Free {
        state.dispatcher.expire(Instant::now());
        room = state.dispatcher.room(behind);
    }
    if room != Room::Free {
        return (0, room);
    }
    let mut told = 0;
    // A step may concern a shard without a session: the world moves on, but nothing was sent.
    for _ in 0..BATCH {
        if told == due {
            break;
        }
        told += u64::from(!move_world(&mut state, &load.mix, untold).is_empty());
    }
    (told, room)
}

/// Moves the world by one event, and counts it, or how many in a row nobody was told of; returns who was told.
fn move_world(state: &mut State, mix: &Mix, untold: &mut u64) -> Vec<SessionKey> {
    let told = state.dispatcher.step(mix);
    if told.is_empty() {
        *untold += 1;
    } else {
        *untold = 0;
        state.counts.produced += 1;
    }
    told
}

/// How many events are due at a rate. Credit is capped at a second's worth: a load that was held up
/// catches up a little, not for ever.
#[derive(Debug)]
struct Pace {
    rate: f64,
    credit: f64,
    last: Instant,
}

impl Pace {
    fn new(rate: f64, now: Instant) -> Self {
        Self {
            rate: rate.max(0.0),
            credit: 0.0,
            last: now,
        }
    }

    fn due(&mut self, now: Instant) -> u64 {
        let earned = self.rate * now.duration_since(self.last).as_secs_f64();
        self.credit = (self.credit + earned).min(self.rate.max(1.0));
        self.last = now;
        self.credit as u64
    }

    fn spend(&mut self, events: u64) {
        self.credit -= events as f64;
    }

    /// Time spent waiting earns nothing.
    fn rest_until(&mut self, now: Instant) {
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_earns_its_rate_and_no_more() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(100.0, start);
        assert_eq!(pace.due(at(50)), 5);
        pace.spend(5);
        assert_eq!(pace.due(at(55)), 0);
        assert_eq!(pace.due(at(70)), 2);
        assert_eq!(pace.due(at(60_000)), 100);
        pace.spend(100);
        pace.rest_until(at(70_000));
        assert_eq!(pace.due(at(70_010)), 1);
    }
}
