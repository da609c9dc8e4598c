//! In which order and when a shard's commands go out.
//!
//! Presence and voice updates must not starve behind a thousand member requests: there are two classes that take turns, each
//! in order, and the last permits of a minute are kept for the first. Requests for a full member list of the same guild stay 31 s apart (Discord, "Request Guild Members": 30 s), and what
//! Discord answered with RATE_LIMITED waits as long as it said; others pass meanwhile.
//!
//! A command's deadline is for being taken by a connected shard. From then on it waits its turn, however long the limit of sends
//! makes that: a burst is slowed down, not thinned out.
//!
//! How many sends a minute there may be is not decided here: the connection's own rate limiter knows, heartbeats included.

use std::collections::{HashMap, VecDeque};

use super::command::{Action, Packet, REQUEST_MEMBERS};

/// Time between two requests for the full member list of one guild, in milliseconds: Discord's 30 s, and a second more, since they may
/// come closer to each other on their way.
const FULL_LIST_INTERVAL: u64 = 31_000;

/// Commands that a process may have in hand, divided among its shards.
const ALL_IN_HAND: usize = 16_384;
/// Commands of a shard in hand at a time, at most: a voice join overtakes so many requests for members. What is behind them in the
/// shard's queue, which has one order only, can't overtake.
const MOST_IN_HAND: u16 = 1_024;
/// At least, in a process with many shards: more than may be sent and not be known to have been read.
const LEAST_IN_HAND: u16 = 256;

/// Commands that RabbitMQ may hand out for each shard of a process with so many.
#[must_use]
pub fn prefetch(shards: usize) -> u16 {
    let share = u16::try_from(ALL_IN_HAND / shards.max(1)).unwrap_or(u16::MAX);
    share.clamp(LEAST_IN_HAND, MOST_IN_HAND)
}

/// The commands of one shard that wait. `T` is what the caller wants back with each.
///
/// Times are milliseconds of Unix time, handed in.
#[derive(Debug)]
pub struct Schedule<T> {
    classes: [VecDeque<Waiting<T>>; 2],
    /// The class whose turn it is.
    turn: usize,
    /// Not later than the earliest deadline of all that no connected shard has taken yet.
    earliest_deadline: u64,
    /// When the next full member list of a guild may be asked for.
    full_lists: HashMap<u64, u64>,
    /// Until when requests of an opcode for a guild must wait.
    limited: HashMap<(u8, u64), u64>,
}

#[derive(Debug)]
struct Waiting<T> {
    action: Action,
    /// `u64::MAX` once a connected shard has taken it.
    deadline: u64,
    tag: T,
}

/// What the shard's connection can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not connected and identified.
    Away,
    /// Connected, without room for a send now.
    Busy,
    /// Connected, with room for a few sends, which are kept for those of the first class.
    Scarce,
    /// Connected, with room for a send.
    Free,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Carry out this command.
    HandOver(Action, T),
    /// This command's time is over: it becomes a dead letter.
    Expired(T),
    /// Nothing until this time, or until something changes.
    Wait(Option<u64>),
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            classes: [VecDeque::new(), VecDeque::new()],
            turn: 0,
            earliest_deadline: u64::MAX,
            full_lists: HashMap::new(),
            limited: HashMap::new(),
        }
    }
}

impl<T> Schedule<T> {
    /// Adds a command.
    pub fn push(&mut self, action: Action, deadline: u64, tag: T) {
        self.earliest_deadline = self.earliest_deadline.min(deadline);
        self.classes[class(&action)].push_back(Waiting {
            action,
            deadline,
            tag,
        });
    }

    /// Puts commands that a shard has had in hand already before all others of their class, in the order given.
    pub fn give_back(&mut self, commands: Vec<(Action, T)>) {
        for (action, tag) in commands.into_iter().rev() {
            self.classes[class(&action)].push_front(Waiting {
                action,
                deadline: u64::MAX,
                tag,
            });
        }
    }

    /// Forgets those that wait; what Discord limits stays limited.
    pub fn clear(&mut self) {
        self.earliest_deadline = u64::MAX;
        self.classes.iter_mut().for_each(VecDeque::clear);
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(VecDeque::is_empty)
    }

    /// Discord said that requests of `opcode` for `guild` must wait until `until`.
    pub fn limit(&mut self, opcode: u8, guild: u64, until: u64) {
        self.limited.insert((opcode, guild), until);
        if opcode == REQUEST_MEMBERS {
            // The list that was refused doesn't count: Discord has said when the next one may go.
            self.full_lists.remove(&guild);
        }
    }

    /// The next step.
    pub fn next(&mut self, now: u64, link: Link) -> Step<T> {
        if self.is_empty() {
            self.earliest_deadline = u64::MAX;
            return Step::Wait(None);
        }
        if let Some(tag) = self.take_expired(now) {
            return Step::Expired(tag);
        }
        if link != Link::Away {
            self.take();
        }
        let mut wake = self.earliest_deadline;
        let allowed: &[usize] = match link {
            Link::Away | Link::Busy => &[],
            Link::Scarce => &[0],
            Link::Free => &[0, 1],
        };
        for class in [self.turn, 1 - self.turn] {
            if allowed.contains(&class) {
                match self.first_free(class, now) {
                    Ok(waiting) => {
                        self.turn = 1 - class;
                        return Step::HandOver(waiting.action, waiting.tag);
                    }
                    Err(free_at) => wake = wake.min(free_at),
                }
            }
        }
        Step::Wait((wake != u64::MAX).then_some(wake))
    }

    /// A connected shard has all that wait: their deadlines are met.
    fn take(&mut self) {
        if self.earliest_deadline != u64::MAX {
            let waiting = self.classes.iter_mut().flatten();
            waiting.for_each(|waiting| waiting.deadline = u64::MAX);
            self.earliest_deadline = u64::MAX;
        }
    }

    fn take_expired(&mut self, now: u64) -> Option<T> {
        if now < self.earliest_deadline {
            return None;
        }
        let expired = self.classes.iter_mut().find_map(|class| {
            let index = class.iter().position(|waiting| waiting.deadline <= now)?;
            class.remove(index)
        });
        if expired.is_none() {
            let deadlines = self
                .classes
                .iter()
                .flatten()
                .map(|waiting| waiting.deadline);
            self.earliest_deadline = deadlines.min().unwrap_or(u64::MAX);
        }
        expired.map(|waiting| waiting.tag)
    }

    /// The first command of the class that may go now, or when the first one may.
    fn first_free(&mut self, class: usize, now: u64) -> Result<Waiting<T>, u64> {
        let mut free_at = u64::MAX;
        for index in 0..self.classes[class].len() {
            let Action::Send(packet) = &self.classes[class][index].action else {
                return self.classes[class].remove(index).ok_or(u64::MAX);
            };
            let until = self.held_until(packet);
            if until <= now {
                if let (true, Some(guild)) = (packet.is_full_list(), packet.guild()) {
                    self.full_lists.retain(|_, until| *until > now);
                    self.full_lists.insert(guild, now + FULL_LIST_INTERVAL);
                }
                self.limited.retain(|_, until| *until > now);
                return self.classes[class].remove(index).ok_or(u64::MAX);
            }
            free_at = free_at.min(until);
        }
        Err(free_at)
    }

    fn held_until(&self, packet: &Packet) -> u64 {
        let Some(guild) = packet.guild() else {
            return 0;
        };
        let limited = self.limited.get(&(packet.opcode(), guild));
        let full_list = self
            .full_lists
            .get(&guild)
            .filter(|_| packet.is_full_list());
        limited.max(full_list).copied().unwrap_or(0)
    }
}

/// What asks for data (which may be much) is in the second class, everything else in the first.
fn class(action: &Action) -> usize {
    match action {
        Action::Send(packet) if matches!(packet.opcode(), 8 | 31 | 43) => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAR: u64 = 1_000_000_000;

    fn send(opcode: u8, guild: u64, full_list: bool) -> Action {
        let d = match opcode {
            3 => r#""since":null,"activities":[],"status":"idle","afk":false"#.to_owned(),
            4 => format!(
                r#""guild_id":{guild},"channel_id":null,"self_mute":false,"self_deaf":false"#
            ),
            8 => format!(
                r#""guild_id":{guild},"query":"","limit":{}"#,
                u8::from(!full_list)
            ),
            _ => format!(r#""guild_ids":[{guild}]"#),
        };
        let json = format!(r#"{{"op":{opcode},"d":{{{d}}}}}"#);
        Action::Send(Packet::parse(&json, "the packet").unwrap())
    }

    fn tags(schedule: &mut Schedule<u32>, now: u64) -> Vec<u32> {
        std::iter::from_fn(|| match schedule.next(now, Link::Free) {
            Step::HandOver(_, tag) => Some(tag),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn classes_take_turns_in_order() {
        let mut schedule = Schedule::default();
        for tag in 0..4 {
            schedule.push(send(8, u64::from(tag) + 1, false), FAR, tag);
        }
        schedule.push(send(4, 1, false), FAR, 10);
        schedule.push(Action::Reconnect, FAR, 11);
        assert_eq!(tags(&mut schedule, 0), [10, 0, 11, 1, 2, 3]);
        assert_eq!(schedule.next(0, Link::Free), Step::Wait(None));
    }

    #[test]
    fn the_last_permits_are_not_for_requests() {
        let mut schedule = Schedule::default();
        schedule.push(send(8, 1, false), FAR, 0);
        schedule.push(send(4, 1, false), FAR, 1);
        assert!(matches!(
            schedule.next(0, Link::Scarce),
            Step::HandOver(_, 1)
        ));
        assert_eq!(schedule.next(0, Link::Scarce), Step::Wait(None));
        assert_eq!(tags(&mut schedule, 0), [0]);
    }

    #[test]
    fn full_lists_of_a_guild_stay_apart_and_others_pass() {
        let mut schedule = Schedule::default();
        schedule.push(send(8, 1, true), FAR, 0);
        schedule.push(send(8, 1, true), FAR, 1);
        schedule.push(send(8, 2, true), FAR, 2);
        schedule.push(send(8, 1, false), FAR, 3);
        assert_eq!(tags(&mut schedule, 5), [0, 2, 3]);
        assert_eq!(
            schedule.next(5, Link::Free),
            Step::Wait(Some(5 + FULL_LIST_INTERVAL))
        );
        assert_eq!(tags(&mut schedule, 5 + FULL_LIST_INTERVAL), [1]);
    }

    #[test]
    fn discords_limit_is_honoured() {
        let mut schedule = Schedule::default();
        schedule.limit(8, 1, 700);
        schedule.push(send(8, 1, false), FAR, 0);
        schedule.push(send(4, 1, false), FAR, 1);
        assert_eq!(tags(&mut schedule, 699), [1]);
        assert_eq!(tags(&mut schedule, 700), [0]);
    }

    #[test]
    fn what_comes_back_goes_first_in_order_and_never_expires() {
        let mut schedule = Schedule::default();
        schedule.push(send(3, 1, false), 50, 2);
        schedule.push(send(8, 1, false), 50, 12);
        let back = [(3, 0), (8, 10), (3, 1), (8, 11)];
        schedule.give_back(back.map(|(op, tag)| (send(op, 1, false), tag)).into());
        assert_eq!(schedule.next(50, Link::Away), Step::Expired(2));
        assert_eq!(schedule.next(50, Link::Away), Step::Expired(12));
        assert_eq!(tags(&mut schedule, 60), [0, 10, 1, 11]);
    }

    #[test]
    fn a_refused_list_waits_as_long_as_discord_says() {
        let mut schedule = Schedule::default();
        schedule.push(send(8, 1, true), FAR, 0);
        assert_eq!(tags(&mut schedule, 0), [0]);
        schedule.limit(8, 1, 700);
        schedule.give_back(vec![(send(8, 1, true), 0)]);
        schedule.push(send(8, 1, true), FAR, 1);
        assert_eq!(tags(&mut schedule, 699), [0; 0]);
        assert_eq!(tags(&mut schedule, 700), [0]);
        assert_eq!(
            schedule.next(700, Link::Free),
            Step::Wait(Some(700 + FULL_LIST_INTERVAL))
        );
    }

    #[test]
    fn what_is_forgotten_leaves_its_limits() {
        let mut schedule = Schedule::default();
        schedule.push(send(8, 1, true), FAR, 0);
        assert_eq!(tags(&mut schedule, 0), [0]);
        schedule.push(send(8, 1, true), 50, 1);
        schedule.clear();
        assert!(schedule.is_empty());
        schedule.push(send(8, 1, true), FAR, 2);
        assert_eq!(
            schedule.next(60, Link::Free),
            Step::Wait(Some(FULL_LIST_INTERVAL))
        );
    }

    #[test]
    fn memory_is_bounded_for_many_shards() {
        assert_eq!([0, 1, 16].map(prefetch), [MOST_IN_HAND; 3]);
        assert_eq!(prefetch(32), 512);
        assert_eq!([64, 1_000, usize::MAX].map(prefetch), [LEAST_IN_HAND; 3]);
    }

    #[test]
    fn what_no_connected_shard_takes_expires() {
        let mut schedule = Schedule::default();
        schedule.push(Action::Identify, 50, 0);
        schedule.push(send(8, 1, false), 20, 1);
        assert_eq!(schedule.next(10, Link::Away), Step::Wait(Some(20)));
        assert_eq!(schedule.next(20, Link::Away), Step::Expired(1));
        assert_eq!(schedule.next(20, Link::Away), Step::Wait(Some(50)));
        assert_eq!(schedule.next(50, Link::Free), Step::Expired(0));
        assert!(schedule.is_empty());
    }

    #[test]
    fn what_waits_for_room_does_not_expire() {
        let mut schedule = Schedule::default();
        schedule.push(send(4, 1, false), 20, 0);
        assert_eq!(schedule.next(19, Link::Busy), Step::Wait(None));
        assert_eq!(schedule.next(60_000, Link::Busy), Step::Wait(None));
        schedule.push(send(4, 1, false), 60_010, 1);
        assert_eq!(schedule.next(60_010, Link::Away), Step::Expired(1));
        assert_eq!(tags(&mut schedule, 60_011), [0]);
    }

    proptest! {
        /// Every command comes out once; the order within each class holds but for full lists; full lists stay apart.
        #[test]
        fn nothing_is_lost_or_reordered(
            commands in prop::collection::vec((prop::sample::select(vec![3_u8, 4, 8, 31]), 1_u64..4, any::<bool>()), 1..60),
            room in prop::collection::vec(any::<bool>(), 1..30),
        ) {
            let mut schedule = Schedule::default();
            for (tag, (opcode, guild, full)) in commands.iter().enumerate() {
                schedule.push(send(*opcode, *guild, *full && *opcode == 8), u64::MAX, tag);
            }
            let (mut now, mut out) = (0, Vec::new());
            for ready in room.iter().cycle().take(100_000) {
                match schedule.next(now, if *ready { Link::Free } else { Link::Busy }) {
                    Step::HandOver(_, tag) => out.push((now, tag)),
                    Step::Expired(_) => prop_assert!(false, "expired"),
                    Step::Wait(_) if schedule.is_empty() => break,
                    Step::Wait(_) => now += 500,
                }
                if room.iter().all(|ready| !ready) { break; }
            }
            if room.iter().any(|ready| *ready) {
                let mut all: Vec<_> = out.iter().map(|(_, tag)| *tag).collect();
                all.sort_unstable();
                prop_assert_eq!(all, (0..commands.len()).collect::<Vec<_>>());
            }
            let is_full = |tag: usize| commands[tag].0 == 8 && commands[tag].2;
            for wanted in [true, false] {
                let order: Vec<_> = out.iter().map(|(_, tag)| *tag)
                    .filter(|tag| !is_full(*tag) && (commands[*tag].0 < 8) == wanted).collect();
                prop_assert!(order.is_sorted());
            }
            for guild in 1..4 {
                let times: Vec<_> = out.iter().filter(|(_, tag)| is_full(*tag) && commands[*tag].1 == guild).collect();
                prop_assert!(times.windows(2).all(|pair| pair[1].0 - pair[0].0 >= FULL_LIST_INTERVAL && pair[0].1 < pair[1].1));
            }
        }
    }
}
