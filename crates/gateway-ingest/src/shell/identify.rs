//! Lets shards identify when [`core::identify`](crate::core::identify) says so: one task for all shards of the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dispatch_service::discord::{GatewayBot, StartLimit};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};
use twilight_gateway::queue::Queue;

use crate::{
    core::identify::{Answer, Ask, Identifies, Limit, Policy, Step},
    error::IngestError,
    metrics,
};

/// Below this many left, each identify is worth a warning.
const LOW: u32 = 50;

/// Time of the start, as the core counts: what others did before has a time too.
const START: Duration = Duration::from_secs(3600);

/// The queue of all shards of this process.
#[derive(Clone, Debug)]
pub(crate) struct IdentifyQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What the core counts time from.
    start: Instant,
    waiting: Mutex<Waiting>,
    /// Somebody has come, or gone.
    changed: Notify,
}

#[derive(Debug)]
struct Waiting {
    identifies: Identifies,
    /// Where each shard that waits gets its leave.
    leaves: BTreeMap<u32, oneshot::Sender<()>>,
}

impl IdentifyQueue {
    pub(crate) fn new(policy: Policy, limit: StartLimit) -> Self {
        let identifies = Identifies::new(policy, read(limit), START);
        metrics::identifies_left(limit.remaining);
        Self {
            shared: Arc::new(Shared {
                start: Instant::now(),
                waiting: Mutex::new(Waiting {
                    identifies,
                    leaves: BTreeMap::new(),
                }),
                changed: Notify::new(),
            }),
        }
    }

    /// The shard's session has begun.
    pub(crate) fn begun(&self, shard: u32) {
        self.waiting().identifies.begun(shard);
    }

    /// Gives leave, as far as the `budget` that all processes share allows, until `ask`, which reads Discord's limit, returns `None`:
    /// then the process ends.
    ///
    /// # Errors
    ///
    /// What `ask` fails with.
    pub(crate) async fn run<F>(
        self,
        mut ask: impl FnMut() -> F,
        budget: impl AsyncFn(Ask) -> Option<Answer>,
    ) -> Result<(), IngestError>
    where
        F: Future<Output = Result<Option<GatewayBot>, IngestError>>,
    {
        let mut reading = std::pin::pin!(None);
        let mut reserve_told: Option<Duration> = None;
        loop {
            let step = self.next_step();
            let until = match step {
                Step::Ask(ask) => {
                    let answer = budget(ask).await;
                    self.answered(ask, answer);
                    continue;
                }
                Step::Read => {
                    reading.set(Some(ask()));
                    continue;
                }
                Step::Wait(at) => Some(at),
                Step::Reserved { left, until } => {
                    if reserve_told.is_none_or(|told| self.now() >= told) {
                        reserve_told = Some(until);
                        metrics::identify_refused();
                        tracing::error!(
                            left,
                            "no identifies but the reserve (IDENTIFY_RESERVE) are left of discord's session start limit: only resuming"
                        );
                    }
                    Some(until)
                }
                Step::Idle => None,
            };
            tokio::select! {
                () = self.shared.changed.notified() => {}
                () = self.reached(until) => {}
                answer = finished(reading.as_mut()) => {
                    reading.set(None);
                    let Some(info) = answer? else { return Ok(()) };
                    metrics::identifies_left(info.limit.remaining);
                    metrics::recommended_shards(info.shards);
                    let now = self.now();
                    self.waiting().identifies.read(read(info.limit), now);
                }
            }
        }
    }

    fn next_step(&self) -> Step {
        let now = self.now();
        let mut waiting = self.waiting();
        let Waiting { identifies, leaves } = &mut *waiting;
        // A shard that disconnected meanwhile asks again; its old request must not use up a turn.
        leaves.retain(|shard, leave| {
            if leave.is_closed() {
                identifies.withdraw(*shard);
            }
            !leave.is_closed()
        });
        identifies.step(now)
    }

    fn answered(&self, ask: Ask, answer: Option<Answer>) {
        let now = self.now();
        let mut waiting = self.waiting();
        let Some(answer) = answer else {
            waiting.identifies.unanswered(now);
            return;
        };
        waiting.identifies.answered(ask, answer, now);
        metrics::identifies_left(answer.left);
        if !answer.granted {
            return;
        }
        if let Some(leave) = waiting.leaves.remove(&ask.shard) {
            // If it has gone this moment, one identify too many is counted: the safe side.
            let _ = leave.send(());
        }
        if answer.left < LOW {
            tracing::warn!(
                shard = ask.shard,
                left = answer.left,
                "few identifies are left of discord's session start limit"
            );
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        START + self.shared.start.elapsed()
    }

    async fn reached(&self, at: Option<Duration>) {
        match at {
            Some(at) => sleep_until(self.shared.start + at.saturating_sub(START)).await,
            None => std::future::pending().await,
        }
    }
}

impl Queue for IdentifyQueue {
    fn enqueue(&self, shard: u32) -> oneshot::Receiver<()> {
        let (leave, granted) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.identifies.request(shard);
        waiting.leaves.insert(shard, leave);
        self.shared.changed.notify_one();
        granted
    }
}

const fn read(limit: StartLimit) -> Limit {
    Limit {
        total: limit.total,
        remaining: limit.remaining,
        reset_after: limit.reset_after,
        max_concurrency: limit.max_concurrency,
    }
}

async fn finished<F: Future>(slot: std::pin::Pin<&mut Option<F>>) -> F::Output {
    match slot.as_pin_mut() {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::identify::Reserve;
    use tokio::time::advance;

    fn limit(remaining: u32) -> StartLimit {
        StartLimit {
            max_concurrency: 2,
            remaining,
            reset_after: Duration::from_secs(3600),
            total: 1000,
        }
    }

    fn queue(remaining: u32) -> IdentifyQueue {
        let policy = Policy {
            wait: Duration::from_secs(5),
            concurrency: None,
            reserve: Reserve::Percent(10),
        };
        IdentifyQueue::new(policy, limit(remaining))
    }

    /// Runs the queue; each reading takes 200 ms and finds `remaining`.
    fn start(queue: &IdentifyQueue, remaining: u32) {
        let ask = move || async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(Some(GatewayBot {
                url: String::new(),
                shards: 1,
                limit: limit(remaining),
            }))
        };
        let left = std::sync::atomic::AtomicU32::new(remaining);
        let budget = async move |_: Ask| {
            let left = left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            Some(Answer {
                granted: true,
                left: left - 1,
                used_ago: None,
            })
        };
        tokio::spawn(queue.clone().run(ask, budget));
    }

    /// When each shard got its leave, in milliseconds.
    async fn granted(queue: &IdentifyQueue, shards: &[u32]) -> Vec<(u128, u32)> {
        let start = Instant::now();
        let asked: Vec<_> = (shards.iter())
            .map(|shard| (*shard, queue.enqueue(*shard)))
            .collect();
        let mut times = Vec::new();
        for (shard, leave) in asked {
            leave.await.unwrap();
            times.push((start.elapsed().as_millis(), shard));
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn leave_is_given_in_time_and_after_reading() {
        let queue = queue(900);
        start(&queue, 900);
        let first = granted(&queue, &[0, 1, 2, 3, 4]).await;
        let times: Vec<_> = first.iter().map(|(at, _)| *at).collect();
        // The timer counts whole milliseconds, and rounds up.
        assert_eq!(times, [0, 0, 5250, 5250, 10_500]);
        advance(Duration::from_secs(300)).await;
        let later = granted(&queue, &[5, 7]).await;
        assert_eq!(later, [(200, 5), (5450, 7)]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_given_from_the_reserve() {
        let queue = queue(900);
        start(&queue, 100);
        advance(Duration::from_secs(61)).await;
        let leave = queue.enqueue(0);
        let hour = Duration::from_secs(3500);
        assert!(tokio::time::timeout(hour, leave).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_left_uses_no_turn() {
        let queue = queue(900);
        drop(queue.enqueue(0));
        start(&queue, 900);
        assert_eq!(granted(&queue, &[2]).await, [(0, 2)]);
    }
}
