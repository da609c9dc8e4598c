use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn packet(full_list: bool, nonce: Option<&str>) -> Packet {
    let nonce = nonce.map_or("null".to_owned(), |nonce| format!("\"{nonce}\""));
    let limit = u8::from(!full_list);
    let json =
        format!(r#"{{"op":8,"d":{{"guild_id":"7","query":"","limit":{limit},"nonce":{nonce}}}}}"#);
    Packet::parse(&json, "the packet").unwrap()
}

/// Of the commands 0, 1, 2 …, one sent each second from `start` on.
fn sent(start: Instant, number: u32) -> Unacknowledged<u32> {
    let mut sent = Unacknowledged::default();
    for n in 0..number {
        sent.push(
            packet(false, None),
            CommandMessage::new(n),
            start + n * SECOND,
        );
    }
    sent
}

fn numbers(messages: Vec<CommandMessage<u32>>) -> Vec<u32> {
    messages
        .into_iter()
        .map(|message| message.delivery)
        .collect()
}

fn again(ended: &Ended<u32>) -> Vec<u32> {
    ended
        .again
        .iter()
        .map(|(_, message)| message.delivery)
        .collect()
}

fn dead(ended: &Ended<u32>) -> Vec<(u32, Dead)> {
    ended
        .dead
        .iter()
        .map(|(message, why)| (message.delivery, *why))
        .collect()
}

fn refusal(nonce: Option<&str>) -> RateLimited {
    RateLimited {
        opcode: REQUEST_MEMBERS,
        guild: 7,
        retry_after_ms: 1,
        nonce: nonce.map(Into::into),
    }
}

#[test]
fn only_a_later_heartbeat_proves_a_command() {
    let start = Instant::now();
    let mut sent = sent(start, 4);
    sent.heartbeat_sent(start + 2 * SECOND);
    sent.heartbeat_sent(start + 2 * SECOND);
    assert_eq!(numbers(sent.heartbeat_acknowledged()), [0, 1]);
    sent.heartbeat_sent(start + 9 * SECOND);
    assert_eq!(numbers(sent.heartbeat_acknowledged()), [2, 3]);
    assert_eq!(numbers(sent.heartbeat_acknowledged()), [0; 0]);
}

#[test]
fn too_many_without_proof_are_read() {
    let mut sent = sent(Instant::now(), MOST as u32);
    for n in 0..3 {
        let read = sent.push(packet(false, None), CommandMessage::new(n), Instant::now());
        assert_eq!(read.map(|message| message.delivery), Some(n));
    }
}

#[test]
fn an_acknowledgement_is_the_oldest_heartbeats() {
    let start = Instant::now();
    let mut sent = sent(start, 2);
    sent.heartbeat_sent(start);
    sent.heartbeat_sent(start + SECOND / 2);
    assert_eq!(numbers(sent.heartbeat_acknowledged()), [0; 0]);
    assert_eq!(numbers(sent.heartbeat_acknowledged()), [0]);
}

#[test]
fn a_new_connection_has_heartbeats_of_its_own() {
    let start = Instant::now();
    let mut sent = sent(start, 1);
    sent.heartbeat_sent(start + SECOND);
    assert_eq!(again(&sent.connection_ended(None, false)), [0]);
    sent.push(packet(false, None), CommandMessage::new(1), start);
    assert_eq!(numbers(sent.heartbeat_acknowledged()), [0; 0]);
}

#[test]
fn ends_say_what_was_read() {
    let start = Instant::now();
    let ended = sent(start, 2).connection_ended(Some(4000), true);
    assert_eq!(numbers(ended.read), [0, 1]);
    // Neither an end without an answer, nor one that Discord began, says anything.
    for (code, asked) in [
        (None, true),
        (None, false),
        (Some(4000), false),
        (Some(4008), false),
    ] {
        let ended = sent(start, 2).connection_ended(code, asked);
        assert_eq!(again(&ended), [0, 1], "{code:?} {asked}");
        assert!(ended.read.is_empty() && ended.dead.is_empty());
    }
}

#[test]
fn a_command_that_ends_every_connection_comes_to_an_end() {
    let start = Instant::now();
    let mut sent = sent(start, 1);
    for _ in 1..MOST_SENDS {
        let ended = sent.connection_ended(None, false);
        for (packet, message) in ended.again {
            sent.push(packet, message, start);
        }
    }
    let ended = sent.connection_ended(None, false);
    assert_eq!(dead(&ended), [(0, Dead::InVain)]);
    assert!(ended.again.is_empty());
}

#[test]
fn the_only_one_without_proof_is_to_blame() {
    let start = Instant::now();
    let mut sent = sent(start, 3);
    sent.heartbeat_sent(start + SECOND + SECOND / 2);
    assert_eq!(numbers(sent.heartbeat_acknowledged()), [0, 1]);
    let ended = sent.connection_ended(Some(4002), false);
    assert_eq!(dead(&ended), [(2, Dead::Refused(4002))]);
    assert!(ended.read.is_empty() && ended.again.is_empty());
}

#[test]
fn suspects_go_one_by_one() {
    let start = Instant::now();
    let mut sent = sent(start, 3);
    assert_eq!(sent.held_until(start), None);
    let ended = sent.connection_ended(Some(4001), false);
    assert_eq!(again(&ended), [0, 1, 2]);
    let mut suspects = ended.again.into_iter();
    let mut push = |sent: &mut Unacknowledged<u32>, at| {
        let (packet, message) = suspects.next().unwrap();
        sent.push(packet, message, at);
    };
    assert_eq!(sent.held_until(start), None);
    push(&mut sent, start);
    assert_eq!(sent.held_until(start), Some(start + QUIET));
    assert_eq!(sent.held_until(start + QUIET), None);
    push(&mut sent, start + QUIET);
    // What is proven holds nothing up.
    sent.heartbeat_sent(start + QUIET + SECOND);
    assert_eq!(numbers(sent.heartbeat_acknowledged()), [0, 1]);
    assert_eq!(sent.held_until(start + QUIET + SECOND), None);
    push(&mut sent, start + 2 * QUIET);
    // The last one is alone too.
    assert_eq!(sent.held_until(start + 2 * QUIET), Some(start + 3 * QUIET));
    let ended = sent.connection_ended(Some(4001), false);
    assert_eq!(dead(&ended), [(2, Dead::Refused(4001))]);
    assert_eq!(sent.held_until(start), None);
}

#[test]
fn what_was_quiet_before_the_one_to_blame_was_read() {
    let start = Instant::now();
    let mut sent = sent(start, 2);
    let ended = sent.connection_ended(Some(4002), false);
    for (n, (packet, message)) in (0..).zip(ended.again) {
        assert_eq!(sent.held_until(start + n * QUIET), None);
        sent.push(packet, message, start + n * QUIET);
    }
    let ended = sent.connection_ended(Some(4002), false);
    assert_eq!(dead(&ended), [(1, Dead::Refused(4002))]);
    assert_eq!(numbers(ended.read), [0]);
}

#[test]
fn a_full_list_may_be_refused_for_a_while() {
    let start = Instant::now();
    let mut sent = Unacknowledged::default();
    sent.push(packet(true, None), CommandMessage::new(0), start);
    sent.push(packet(false, None), CommandMessage::new(1), start);
    sent.heartbeat_sent(start + SECOND);
    assert_eq!(numbers(sent.heartbeat_acknowledged()), [1]);
    assert_eq!(sent.take_refused(&refusal(Some("other"))), None);
    let found = sent.take_refused(&refusal(None));
    assert_eq!(found.map(|(_, message)| message.delivery), Some(0));
    sent.push(packet(true, Some("n")), CommandMessage::new(2), start);
    let other = RateLimited {
        opcode: 31,
        ..refusal(Some("n"))
    };
    assert_eq!(sent.take_refused(&other), None);
    sent.heartbeat_sent(start + REFUSAL_LIMIT + SECOND);
    assert_eq!(numbers(sent.heartbeat_acknowledged()), [2]);
}

/// A Discord that reads one packet after the other, and closes the connection over some.
#[derive(Default)]
struct Discord {
    bad: BTreeSet<u32>,
    read: BTreeSet<u32>,
    unread: VecDeque<u32>,
}

impl Discord {
    /// Reads up to `number`; true if it closes the connection.
    fn read(&mut self, number: usize) -> bool {
        for _ in 0..number.min(self.unread.len()) {
            let Some(n) = self.unread.pop_front() else {
                break;
            };
            if self.bad.contains(&n) {
                self.unread.clear();
                return true;
            }
            self.read.insert(n);
        }
        false
    }
}

proptest! {
    /// Whatever Discord reads when, and however connections end: exactly those that it closes connections over become dead
    /// letters for that, and all others are read before they are acknowledged.
    #[test]
    fn the_guilty_are_found_and_the_innocent_arrive(
        number in 1..12_u32,
        bad in prop::collection::btree_set(0..12_u32, 0..3),
        steps in prop::collection::vec((0..6_u8, 1..4_usize), 1..300),
    ) {
        let mut discord = Discord { bad: bad.iter().copied().filter(|n| *n < number).collect(), ..Discord::default() };
        let mut waiting: VecDeque<(Packet, CommandMessage<u32>)> =
            (0..number).map(|n| (packet(false, None), CommandMessage::new(n))).collect();
        let mut sent = Unacknowledged::default();
        let (mut now, mut flaps) = (Instant::now(), 0);
        let (mut acknowledged, mut refused) = (BTreeSet::new(), BTreeSet::new());
        // After the random part Discord behaves, until nothing is left to do.
        let behaved = std::iter::repeat_n([(1, 1), (0, 9), (2, 1)], 200).flatten();
        for (step, count) in steps.into_iter().chain(behaved) {
            let mut ended = None;
            match step {
                0 => ended = discord.read(count).then_some((Some(4002), false)),
                1 => if sent.held_until(now).is_none() && let Some((packet, message)) = waiting.pop_front() {
                    discord.unread.push_back(message.delivery);
                    sent.push(packet, message, now);
                },
                // Quiet: Discord has read all by then.
                2 => {
                    if discord.read(usize::MAX) { ended = Some((Some(4002), false)); }
                    now += QUIET;
                }
                3 => {
                    // The answer to a heartbeat after all that was sent.
                    sent.heartbeat_sent(now + SECOND);
                    if discord.read(usize::MAX) { ended = Some((Some(4002), false)); }
                    else { acknowledged.extend(numbers(sent.heartbeat_acknowledged())); }
                    now += 2 * SECOND;
                }
                // At most two, so that no innocent is sent in vain too often.
                _ if flaps < 2 => {
                    flaps += 1;
                    let (code, asked) = if step == 4 { (Some(4000), true) } else { (None, false) };
                    if asked && discord.read(usize::MAX) { ended = Some((Some(4002), true)); }
                    else { ended = Some((code, asked)); }
                }
                _ => {}
            }
            if let Some((code, asked)) = ended {
                discord.unread.clear();
                let ended = sent.connection_ended(code, asked);
                acknowledged.extend(numbers(ended.read));
                for (message, why) in ended.dead {
                    prop_assert_eq!(why, Dead::Refused(4002));
                    refused.insert(message.delivery);
                }
                ended.again.into_iter().rev().for_each(|command| waiting.push_front(command));
            }
            prop_assert!(acknowledged.is_subset(&discord.read));
        }
        sent.heartbeat_sent(now + SECOND);
        acknowledged.extend(numbers(sent.heartbeat_acknowledged()));
        prop_assert_eq!(&refused, &discord.bad);
        let innocent: BTreeSet<u32> = (0..number).filter(|n| !discord.bad.contains(n)).collect();
        prop_assert_eq!(&acknowledged, &innocent);
    }
}
