use super::*;
use proptest::prelude::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn policy(reserve: Reserve) -> Policy {
    Policy {
        wait: secs(5),
        concurrency: None,
        reserve,
    }
}

fn limit(remaining: u32, max_concurrency: u32) -> Limit {
    Limit {
        total: 1000,
        remaining,
        reset_after: secs(3600),
        max_concurrency,
    }
}

/// Runs until nobody waits or `until`, with a budget of its own, answering each reading at once with `remaining` less what was
/// spent: who identified when, in milliseconds, and when the limit was read.
fn run(
    identifies: &mut Identifies,
    from: Duration,
    until: Duration,
    mut answer: impl FnMut(u32) -> Option<Limit>,
) -> (Vec<(u64, u32)>, Vec<u64>) {
    let (mut granted, mut readings, mut now) = (Vec::new(), Vec::new(), from);
    while now <= until {
        match identifies.step(now) {
            Step::Ask(ask) => {
                granted.push((now.as_millis() as u64, ask.shard));
                let answer = Answer {
                    granted: true,
                    left: identifies.left().saturating_sub(1),
                    used_ago: None,
                };
                identifies.answered(ask, answer, now);
            }
            Step::Read => {
                readings.push(now.as_millis() as u64);
                if let Some(limit) = answer(granted.len() as u32) {
                    identifies.read(limit, now);
                }
            }
            Step::Wait(at) | Step::Reserved { until: at, .. } => now = at,
            Step::Idle => break,
        }
    }
    (granted, readings)
}

#[test]
fn one_of_each_bucket_every_five_and_a_quarter_seconds_in_the_order_of_asking() {
    let mut identifies = Identifies::new(policy(Reserve::Number(0)), limit(500, 2), secs(0));
    for shard in [0, 1, 2, 3, 5, 4, 3] {
        identifies.request(shard);
    }
    let (granted, readings) = run(&mut identifies, secs(1), secs(100), |_| None);
    assert_eq!(
        granted,
        [
            (1000, 0),
            (1000, 1),
            (6250, 2),
            (6250, 3),
            (11_500, 5),
            (11_500, 4)
        ]
    );
    assert_eq!(readings, [0; 0]);
}

#[test]
fn a_longer_wait_and_fewer_at_once_can_be_set() {
    let policy = Policy {
        wait: secs(7),
        concurrency: Some(1),
        reserve: Reserve::Number(0),
    };
    let mut identifies = Identifies::new(policy, limit(500, 4), secs(0));
    (0..3).for_each(|shard| identifies.request(shard));
    let (granted, _) = run(&mut identifies, secs(0), secs(100), |_| None);
    assert_eq!(granted, [(0, 0), (7000, 1), (14_000, 2)]);
}

#[test]
fn an_old_limit_is_read_again_first() {
    let mut identifies = Identifies::new(policy(Reserve::Number(0)), limit(500, 1), secs(0));
    identifies.request(0);
    let (granted, readings) = run(&mut identifies, secs(59), secs(500), |_| None);
    assert_eq!((granted, readings), (vec![(59_000, 0)], vec![]));
    identifies.request(1);
    assert_eq!(identifies.step(secs(70)), Step::Read);
    assert_eq!(identifies.step(secs(71)), Step::Wait(secs(80)));
    // Somebody else has spent all.
    identifies.read(limit(0, 1), secs(72));
    assert!(matches!(
        identifies.step(secs(72)),
        Step::Reserved { left: 0, .. }
    ));
    assert_eq!(identifies.left(), 0);
}

#[test]
fn with_few_left_each_has_a_reading_of_its_own() {
    let mut identifies = Identifies::new(policy(Reserve::Number(0)), limit(40, 1), secs(0));
    (0..4).for_each(|shard| identifies.request(shard));
    let (granted, readings) = run(&mut identifies, secs(0), secs(100), |spent| {
        Some(limit(40 - spent, 1))
    });
    assert_eq!(granted, [(0, 0), (15_000, 1), (30_000, 2), (45_000, 3)]);
    assert_eq!(readings, [15_000, 30_000, 45_000]);
}

#[test]
fn without_an_answer_our_own_count_does_while_much_is_left() {
    let silent = |remaining| {
        let limit = limit(remaining, 1);
        let mut identifies = Identifies::new(policy(Reserve::Percent(10)), limit, secs(0));
        identifies.request(0);
        run(&mut identifies, secs(100), secs(1000), |_| None)
    };
    assert_eq!(silent(500), (vec![(110_000, 0)], vec![100_000]));
    assert_eq!(silent(149), (vec![], vec![100_000]));
}

#[test]
fn the_reserve_is_left_alone_until_the_limit_resets() {
    let mut identifies = Identifies::new(policy(Reserve::Percent(10)), limit(102, 1), secs(0));
    (0..4).for_each(|shard| identifies.request(shard));
    let answers = |spent| Some(limit(102_u32.saturating_sub(spent).max(100), 1));
    let (granted, readings) = run(&mut identifies, secs(0), secs(600), answers);
    assert_eq!(granted, [(0, 0), (15_000, 1)]);
    assert!(readings.len() <= 11, "{readings:?}");
    let after_reset = run(&mut identifies, secs(3600), secs(3700), |_| {
        Some(limit(1000, 1))
    });
    assert_eq!(after_reset.0, [(3_600_000, 2), (3_605_250, 3)]);
}

#[test]
fn a_shard_whose_identifies_fail_waits_longer_each_time() {
    let mut identifies = Identifies::new(policy(Reserve::Number(0)), limit(999, 1), secs(0));
    let (mut now, mut times) = (secs(0), Vec::new());
    for _ in 0..18 {
        identifies.request(7);
        let (granted, _) = run(&mut identifies, now, now + secs(700), |_| {
            Some(limit(999, 1))
        });
        times.push(granted[0].0 / 1000);
        now = millis(granted[0].0 + 300);
    }
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses[..3], [10, 20, 40]);
    assert_eq!(pauses[3..12], [40; 9]);
    assert_eq!(pauses[12..], [80, 160, 320, 600, 600]);
    // It does not keep the others of its bucket waiting.
    identifies.request(7);
    identifies.request(8);
    let soon = now + secs(20);
    let (granted, _) = run(&mut identifies, now, soon, |_| Some(limit(999, 1)));
    assert_eq!(
        granted.iter().map(|(_, shard)| *shard).collect::<Vec<_>>(),
        [8]
    );
    identifies.begun(7);
    let (granted, _) = run(&mut identifies, soon, soon, |_| Some(limit(999, 1)));
    assert_eq!(granted.len(), 1);
}

#[test]
fn reserves_are_numbers_or_percentages() {
    let reserve = |text: &str| text.parse::<Reserve>().ok();
    assert_eq!(reserve("0"), Some(Reserve::Number(0)));
    assert_eq!(reserve("50"), Some(Reserve::Number(50)));
    assert_eq!(reserve("10%"), Some(Reserve::Percent(10)));
    assert_eq!(reserve("100 %"), Some(Reserve::Percent(100)));
    for wrong in ["", "%", "101%", "-1", "1.5", "ten"] {
        assert_eq!(reserve(wrong), None, "{wrong}");
    }
    assert_eq!(Reserve::Percent(10).of(1000), 100);
    assert_eq!(Reserve::Percent(100).of(u32::MAX), u32::MAX);
    assert_eq!(Reserve::Number(7).of(1000), 7);
}

/// What `shell::budget` has on Redis.
#[derive(Default)]
struct Budget {
    left: u32,
    read: Duration,
    spent: Duration,
    used: BTreeMap<u32, Duration>,
    since: Duration,
    known: bool,
}

impl Budget {
    fn lose(&mut self) {
        *self = Self::default();
    }

    fn ask(&mut self, ask: Ask, now: Duration) -> Answer {
        let read = now - ask.read_ago;
        if !self.known {
            (self.known, self.since, self.left, self.read) = (true, now, ask.read.remaining, read);
        } else if read > self.read {
            let raced = self.spent + secs(1) > read;
            let least = self.left.min(ask.read.remaining);
            self.left = if raced { least } else { ask.read.remaining };
            self.read = read;
        }
        let used = self.used.get(&ask.bucket).copied();
        let used = used.unwrap_or_default().max(self.since);
        let granted = now >= used + ask.wait
            && !(self.left.saturating_sub(ask.reserve) < ask.low && used > read)
            && self.left > ask.reserve;
        let used_ago = Some(now - used);
        if granted {
            self.left -= 1;
            self.spent = now;
            self.used.insert(ask.bucket, now);
        }
        Answer {
            granted,
            left: self.left,
            used_ago,
        }
    }
}

/// What was spent since the last reading is forgotten with the budget.
#[test]
fn the_reserve_is_left_alone_when_the_budget_is_lost() {
    let read = limit(102, 1);
    let mut all = [(); 2].map(|()| Identifies::new(policy(Reserve::Percent(10)), read, secs(0)));
    let mut budget = Budget::default();
    let mut spent = 0;
    for (shard, now) in (1..200_u32).map(|now| (now, secs(now.into()))) {
        if shard < 60 && shard.is_multiple_of(12) {
            budget.lose();
        }
        for identifies in &mut all {
            identifies.request(shard);
            match identifies.step(now) {
                Step::Ask(ask) => {
                    let answer = budget.ask(ask, now);
                    identifies.answered(ask, answer, now);
                    spent += u32::from(answer.granted);
                }
                Step::Read => identifies.read(limit(102 - spent, 1), now),
                _ => {}
            }
        }
    }
    assert_eq!(spent, 2);
}

proptest! {
    /// Whatever several processes ask for, whatever is answered and withheld, also where the budget is lost: never more than one
    /// identify of a bucket in 5.25 s, never one from the reserve, never more than a few readings a minute of each, and always a way
    /// on.
    #[test]
    fn limits_hold_over_random_peers(
        shards in proptest::collection::vec((0_u32..32, 0_u64..60_000, 0_u8..20), 1..60),
        replicas in 1_usize..4,
        concurrency in 1_u32..5,
        total in 1_u32..200,
        left in 0_u32..200,
        percent in 0_u32..=100,
        answers in any::<u64>(),
    ) {
        let of = |remaining: u32| Limit {
            total,
            remaining: remaining.min(total),
            reset_after: secs(86_400),
            max_concurrency: concurrency,
        };
        let reserve = Reserve::Percent(percent);
        let began = secs(100);
        let (mut now, mut left) = (began, left.min(total));
        let mut all: Vec<_> = (0..replicas)
            .map(|_| (Identifies::new(policy(reserve), of(left), began), now, Vec::new()))
            .collect();
        let mut budget = Budget::default();
        let mut used = BTreeMap::<u32, Duration>::new();
        for (turn, (shard, pause, event)) in shards.into_iter().enumerate() {
            all[shard as usize % replicas].0.request(shard);
            if event == 0 {
                budget.lose();
            }
            let until = now + millis(pause);
            loop {
                // Whose turn comes first.
                let (identifies, at, readings) =
                    all.iter_mut().min_by_key(|(_, at, _)| *at).unwrap();
                if *at > until { break; }
                now = now.max(*at);
                *at = now;
                match identifies.step(now) {
                    Step::Ask(ask) if event == 1 && now.as_millis() % 7 < 5 => {
                        identifies.unanswered(now);
                        prop_assert!(ask.reserve == reserve.of(total));
                    }
                    Step::Ask(ask) => {
                        let answer = budget.ask(ask, now);
                        identifies.answered(ask, answer, now);
                        if answer.granted {
                            let before = used.insert(ask.shard % concurrency, now);
                            let apart = before.is_none_or(|before| now - before >= LEAST_WAIT);
                            prop_assert!(apart, "{before:?} {now:?}");
                            prop_assert!(left > reserve.of(total));
                            left -= 1;
                            if answers >> ((turn + 7) % 64) & 1 == 0 {
                                identifies.begun(ask.shard);
                            }
                        }
                    }
                    Step::Read => {
                        readings.push(now);
                        if answers >> (turn % 64) & 1 == 0 {
                            identifies.read(of(left), now);
                        }
                    }
                    Step::Wait(next) | Step::Reserved { until: next, .. } => {
                        prop_assert!(next > now, "no time passes");
                        *at = next;
                    }
                    Step::Idle => *at = until + millis(1),
                }
            }
            now = until.max(now);
            all.iter_mut().for_each(|(_, at, _)| *at = now);
        }
        for (_, _, readings) in &all {
            for window in readings.windows(5) {
                prop_assert!(window[4] - window[0] >= secs(60), "{readings:?}");
            }
        }
    }
}
