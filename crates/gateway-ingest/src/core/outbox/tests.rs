use dispatch_proto::frame::{Frame, inflated};
use proptest::prelude::*;

use super::*;

fn received(session: &str, sequence: u64, payload: &str) -> Received<()> {
    Received {
        place: Some(place(session, sequence)),
        received_us: 1,
        payload: payload.to_owned(),
        permit: (),
    }
}

fn place(session: &str, sequence: u64) -> Place {
    Place {
        session: session.into(),
        sequence,
    }
}

fn confirmed(shard: u32, events: usize, session: &str, sequence: u64) -> Confirmed {
    Confirmed {
        shard,
        events,
        place: Some(place(session, sequence)),
    }
}

/// The events of a publication, as shard, session and sequence.
fn events(publication: &Publication) -> Vec<(u32, String, u64)> {
    let Publication::Frame(body) = publication else {
        return Vec::new();
    };
    let mut events = Vec::new();
    let body = inflated(body).unwrap();
    for section in Frame::decode(&body).unwrap().sections {
        assert_eq!(section.total, 9);
        for event in section.events {
            events.push((section.shard, section.session.to_owned(), event.sequence));
        }
    }
    events
}

fn sequences(publication: &Publication) -> Vec<(u32, u64)> {
    let events = events(publication).into_iter();
    events
        .map(|(shard, _, sequence)| (shard, sequence))
        .collect()
}

fn owning(shards: &[u32]) -> Outbox<()> {
    let mut outbox = Outbox::new(9);
    shards.iter().for_each(|shard| outbox.own(*shard));
    outbox
}

#[test]
fn gathers_while_one_is_in_flight_and_repeats_it_unchanged() {
    let mut outbox = owning(&[0]);
    assert_eq!(outbox.publication(), None);
    outbox.push(0, received("s", 1, "a"));
    let first = outbox.publication().unwrap();
    outbox.push(0, received("s", 2, "b"));
    outbox.push(0, received("s", 3, "c"));
    assert_eq!(outbox.publication().as_ref(), Some(&first));
    assert_eq!(outbox.confirm(), [confirmed(0, 1, "s", 1)]);
    assert_eq!(
        sequences(&outbox.publication().unwrap()),
        [(0, 2), (0, 3)],
        "both in one frame"
    );
    assert_eq!(outbox.confirm(), [confirmed(0, 2, "s", 3)]);
    assert!(outbox.is_drained(0));
    assert_eq!(outbox.confirm(), []);
}

#[test]
fn a_frame_holds_events_of_all_shards_and_sessions() {
    let mut outbox = owning(&[1, 4]);
    outbox.push(1, received("old", 9, "a"));
    outbox.push(4, received("x", 1, "b"));
    outbox.push(1, received("new", 1, "c"));
    let body = events(&outbox.publication().unwrap());
    let of = |shard, session: &str, sequence| (shard, session.to_owned(), sequence);
    assert_eq!(body, [of(4, "x", 1), of(1, "old", 9), of(1, "new", 1)]);
    let confirms = [confirmed(4, 1, "x", 1), confirmed(1, 2, "new", 1)];
    assert_eq!(outbox.confirm(), confirms);
}

/// A shard with much to say leaves room for the others, and the one that found none is the first of the next frame.
#[test]
fn a_frame_is_shared_fairly() {
    let mut outbox = owning(&[0, 1, 2]);
    for sequence in 0..2_000 {
        outbox.push(0, received("a", sequence, "{}"));
    }
    outbox.push(1, received("b", 1, "{}"));
    outbox.push(2, received("c", 1, &"x".repeat(FRAME_BYTES)));
    let first = sequences(&outbox.publication().unwrap());
    assert_eq!(first.len(), FRAME_EVENTS);
    assert!(first.contains(&(1, 1)));
    outbox.push(1, received("b", 2, "{}"));
    outbox.confirm();
    assert_eq!(sequences(&outbox.publication().unwrap()), [(2, 1)]);
    outbox.confirm();
    assert!(sequences(&outbox.publication().unwrap()).contains(&(1, 2)));
}

#[test]
fn what_cannot_travel_becomes_a_dead_letter_in_its_place() {
    let mut outbox = owning(&[3]);
    outbox.limit(50_000);
    outbox.push(3, received("s", 1, "a"));
    outbox.push(3, received("s", 2, &noise(100_000)));
    outbox.push(
        3,
        Received {
            place: None,
            ..received("s", 0, "{}")
        },
    );
    outbox.push(3, received("s", 3, "b"));
    let dead = |publication| match publication {
        Some(Publication::DeadLetter { shard, reason, .. }) => Some((shard, reason)),
        _ => None,
    };
    assert_eq!(sequences(&outbox.publication().unwrap()), [(3, 1)]);
    outbox.confirm();
    assert_eq!(dead(outbox.publication()), Some((3, DeadReason::TooLarge)));
    assert_eq!(outbox.confirm(), [confirmed(3, 1, "s", 2)]);
    assert_eq!(dead(outbox.publication()), Some((3, DeadReason::NoPlace)));
    let none = Confirmed {
        place: None,
        ..confirmed(3, 1, "s", 0)
    };
    assert_eq!(outbox.confirm(), [none]);
    outbox.publication();
    assert_eq!(outbox.confirm(), [confirmed(3, 1, "s", 3)]);
}

#[test]
fn a_refused_frame_goes_again_without_the_shard_that_was_released() {
    let mut outbox = owning(&[0, 1]);
    outbox.push(0, received("a", 1, "{}"));
    outbox.push(1, received("b", 1, "{}"));
    assert_eq!(sequences(&outbox.publication().unwrap()), [(0, 1), (1, 1)]);
    outbox.release(0);
    assert_eq!(sequences(&outbox.publication().unwrap()), [(1, 1)]);
    outbox.confirm();
    assert_eq!(outbox.publication(), None);
    assert!(!outbox.is_drained(0));
    outbox.own(0);
    assert_eq!(sequences(&outbox.publication().unwrap()), [(0, 1)]);
}

#[test]
fn a_confirm_says_nothing_of_what_was_cleared_meanwhile() {
    let mut outbox = owning(&[0, 1]);
    outbox.push(0, received("a", 1, "{}"));
    outbox.push(1, received("b", 1, "{}"));
    outbox.publication();
    outbox.clear(0);
    outbox.own(0);
    outbox.push(0, received("c", 1, "{}"));
    assert_eq!(outbox.confirm(), [confirmed(1, 1, "b", 1)]);
    assert_eq!(sequences(&outbox.publication().unwrap()), [(0, 1)]);
}

const SHARDS: u32 = 4;

/// What can happen to an outbox.
#[derive(Clone, Debug)]
enum Step {
    Push {
        shard: u32,
        size: usize,
        place: bool,
    },
    /// The shard begins another session.
    Session(u32),
    Own(u32),
    Release(u32),
    Clear(u32),
    /// The next publication is published; or the one that was not confirmed, again.
    Publish,
    Confirm,
    /// RabbitMQ refuses the publication, but may have it.
    Refuse {
        kept: bool,
    },
    /// The connection ends; RabbitMQ may have the publication.
    ConnectionEnds {
        kept: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let shard = || 0..SHARDS;
    let size = prop_oneof![
        20 => 0_usize..2_000,
        4 => 60_000_usize..300_000,
        1 => Just(COMPRESSED_BYTES),
    ];
    prop_oneof![
        20 => (shard(), size, prop::bool::weighted(0.97))
            .prop_map(|(shard, size, place)| Step::Push { shard, size, place }),
        1 => shard().prop_map(Step::Session),
        6 => shard().prop_map(Step::Own),
        1 => shard().prop_map(Step::Release),
        1 => shard().prop_map(Step::Clear),
        10 => Just(Step::Publish),
        8 => Just(Step::Confirm),
        2 => any::<bool>().prop_map(|kept| Step::Refuse { kept }),
        1 => any::<bool>().prop_map(|kept| Step::ConnectionEnds { kept }),
    ]
}

/// An event, by what tells it from all others: its shard and how many were pushed before it.
type Id = (u32, u64);

/// The outbox, RabbitMQ behind it, and what must be true of both.
struct World {
    outbox: Outbox<Arc<()>>,
    owned: [bool; SHARDS as usize],
    sessions: [u32; SHARDS as usize],
    /// Of each shard, what was pushed and is neither confirmed nor cleared.
    expected: [VecDeque<(Id, bool)>; SHARDS as usize],
    /// What the publication on its way holds, while its outcome is not known.
    on_its_way: Option<Vec<Id>>,
    /// What RabbitMQ has of each shard, repeats dropped as a writer drops them.
    taken: [Vec<u64>; SHARDS as usize],
    cleared: [Vec<u64>; SHARDS as usize],
    pushed: u64,
    permits: Arc<()>,
}

impl World {
    fn new() -> Self {
        Self {
            outbox: Outbox::new(9),
            owned: [false; SHARDS as usize],
            sessions: [0; SHARDS as usize],
            expected: Default::default(),
            on_its_way: None,
            taken: Default::default(),
            cleared: Default::default(),
            pushed: 0,
            permits: Arc::new(()),
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Push { shard, size, place } => self.push(shard, size, place),
            Step::Session(shard) => self.sessions[shard as usize] += 1,
            Step::Own(shard) => {
                self.owned[shard as usize] = true;
                self.outbox.own(shard);
            }
            Step::Release(shard) => {
                self.owned[shard as usize] = false;
                self.outbox.release(shard);
            }
            Step::Clear(shard) => {
                self.owned[shard as usize] = false;
                self.outbox.clear(shard);
                let gone = self.expected[shard as usize].drain(..);
                self.cleared[shard as usize].extend(gone.map(|((_, number), _)| number));
                prop_assert!(self.outbox.is_drained(shard));
            }
            Step::Publish => self.publish()?,
            Step::Confirm => self.confirm()?,
            Step::Refuse { kept } => self.lose(kept)?,
            Step::ConnectionEnds { kept } => {
                self.lose(kept)?;
                self.outbox.release_all();
                self.owned = [false; SHARDS as usize];
            }
        }
        let held: usize = self.expected.iter().map(VecDeque::len).sum();
        prop_assert_eq!(Arc::strong_count(&self.permits) - 1, held, "permits");
        for shard in 0..SHARDS {
            let empty = self.expected[shard as usize].is_empty();
            prop_assert_eq!(self.outbox.is_drained(shard), empty);
        }
        Ok(())
    }

    fn push(&mut self, shard: u32, size: usize, has_place: bool) {
        self.pushed += 1;
        let session = format!("{shard}-{}", self.sessions[shard as usize]);
        let number = self.pushed;
        let payload = format!("{number}:{}", "x".repeat(size));
        let dead = !has_place;
        self.expected[shard as usize].push_back(((shard, number), dead));
        let received = Received {
            place: has_place.then(|| place(&session, number)),
            received_us: 0,
            payload,
            permit: self.permits.clone(),
        };
        self.outbox.push(shard, received);
    }

    fn publish(&mut self) -> Result<(), TestCaseError> {
        if self.on_its_way.is_some() {
            return Ok(());
        }
        let Some(publication) = self.outbox.publication() else {
            let idle = (0..SHARDS as usize)
                .all(|shard| !self.owned[shard] || self.expected[shard].is_empty());
            prop_assert!(idle, "something could be published");
            return Ok(());
        };
        let (ids, dead) = match &publication {
            Publication::Frame(body) => {
                let ids = sequences(&publication);
                let small = body.len() <= FRAME_BYTES + FRAME_OVERHEAD && ids.len() <= FRAME_EVENTS;
                prop_assert!(small || ids.len() == 1);
                prop_assert!(!ids.is_empty());
                (ids, false)
            }
            Publication::DeadLetter { shard, body, .. } => {
                let text = std::str::from_utf8(body).unwrap();
                let number = text.split(':').next().unwrap().parse().unwrap();
                (vec![(*shard, number)], true)
            }
        };
        // Each shard's events are the next of it, and it is owned.
        let mut next = [0; SHARDS as usize];
        for id in &ids {
            let shard = id.0 as usize;
            prop_assert!(self.owned[shard], "published for a shard that is not owned");
            let expected = self.expected[shard].get(next[shard]);
            prop_assert_eq!(expected, Some(&(*id, dead)));
            next[shard] += 1;
        }
        self.on_its_way = Some(ids);
        Ok(())
    }

    /// RabbitMQ has the publication.
    fn take(&mut self, ids: &[Id]) -> Result<(), TestCaseError> {
        for (shard, number) in ids {
            let taken = &mut self.taken[*shard as usize];
            if taken.last().is_none_or(|last| last < number) {
                taken.push(*number);
            }
        }
        Ok(())
    }

    fn confirm(&mut self) -> Result<(), TestCaseError> {
        let Some(ids) = self.on_its_way.take() else {
            return Ok(());
        };
        self.take(&ids)?;
        let confirmed = self.outbox.confirm();
        for part in confirmed {
            let shard = part.shard as usize;
            let of: Vec<Id> = ids
                .iter()
                .copied()
                .filter(|id| id.0 == part.shard)
                .collect();
            prop_assert_eq!(part.events, of.len());
            let mut last = None;
            for id in &of {
                let front = self.expected[shard].pop_front();
                prop_assert_eq!(front.map(|(id, _)| id), Some(*id));
                last = Some(id.1);
            }
            if let Some(place) = part.place {
                prop_assert_eq!(Some(place.sequence), last, "confirmed what was not");
            }
        }
        Ok(())
    }

    /// There is no confirm; RabbitMQ may have the publication all the same.
    fn lose(&mut self, kept: bool) -> Result<(), TestCaseError> {
        match self.on_its_way.take() {
            Some(ids) if kept => self.take(&ids),
            _ => Ok(()),
        }
    }

    /// Everything is owned, published and confirmed.
    fn end(mut self) -> Result<(), TestCaseError> {
        self.step(Step::ConnectionEnds { kept: false })?;
        (0..SHARDS).try_for_each(|shard| self.step(Step::Own(shard)))?;
        while self.expected.iter().any(|shard| !shard.is_empty()) {
            self.step(Step::Publish)?;
            prop_assert!(self.on_its_way.is_some(), "stuck");
            self.step(Step::Confirm)?;
        }
        let mut all: Vec<u64> = Vec::new();
        for shard in 0..SHARDS as usize {
            prop_assert!(self.taken[shard].is_sorted());
            all.extend(&self.taken[shard]);
            let taken = &self.taken[shard];
            let cleared = &self.cleared[shard];
            all.extend(cleared.iter().filter(|number| !taken.contains(number)));
        }
        all.sort_unstable();
        prop_assert_eq!(
            all,
            (1..=self.pushed).collect::<Vec<_>>(),
            "lost or repeated"
        );
        Ok(())
    }
}

proptest! {
    /// Whatever happens in whatever order: each event of a shard reaches RabbitMQ in its place, dead letters among them; repeats
    /// come only after a lost confirm; a confirm names what was confirmed; what is not owned is not published; permits go back.
    #[test]
    fn every_event_travels_in_order_while_its_shard_is_owned(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in steps {
            world.step(step)?;
        }
        world.end()?;
    }
}

/// Text that compresses badly, so that its size matters.
fn noise(bytes: usize) -> String {
    let mut state = 1_u64;
    let byte = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'!' + (state >> 33) as u8 % 90)
    };
    (0..bytes).map(byte).collect()
}

#[test]
fn a_large_event_travels_compressed_by_itself() {
    let mut outbox = owning(&[3]);
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(20 * 1024 * 1024));
    outbox.push(3, received("s", 1, "{}"));
    outbox.push(3, received("s", 2, &large));
    outbox.push(3, received("s", 3, "{}"));
    assert_eq!(sequences(&outbox.publication().unwrap()), [(3, 1)]);
    outbox.confirm();
    let Some(Publication::Frame(body)) = outbox.publication() else {
        panic!("no frame");
    };
    assert!(body.len() < 100_000, "{}", body.len());
    let frame = inflated(&body).unwrap();
    let sections = Frame::decode(&frame).unwrap().sections;
    assert_eq!(sections[0].events[0].payload, large.as_bytes());
    assert_eq!(outbox.confirm(), [confirmed(3, 1, "s", 2)]);
    assert_eq!(sequences(&outbox.publication().unwrap()), [(3, 3)]);
}

#[test]
fn what_rabbitmq_has_refused_is_made_anew_within_its_limit() {
    let mut outbox = owning(&[3, 4]);
    let large = noise(600_000);
    outbox.push(3, received("s", 1, &large));
    outbox.push(4, received("t", 1, "{}"));
    let size = |publication: &Option<Publication>| match publication {
        Some(Publication::Frame(body)) => body.len(),
        other => panic!("{other:?}"),
    };
    assert!(size(&outbox.publication()) > 600_000);
    outbox.limit(590_000);
    assert!(size(&outbox.publication()) < 590_000, "not compressed");
    outbox.limit(100_000);
    let publication = outbox.publication();
    let too_large = matches!(
        publication,
        Some(Publication::DeadLetter {
            shard: 3,
            reason: DeadReason::TooLarge,
            ..
        })
    );
    assert!(too_large, "{publication:?}");
    assert_eq!(outbox.confirm(), [confirmed(3, 1, "s", 1)]);
    assert_eq!(sequences(&outbox.publication().unwrap()), [(4, 1)]);
}
