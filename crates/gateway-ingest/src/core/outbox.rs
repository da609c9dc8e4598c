//! What a shard has received and RabbitMQ has not confirmed yet.
//!
//! **Invariant:** one parcel is in flight at a time, and the next one is made only when it is confirmed. So confirms are
//! contiguous: the last confirmed sequence is the one to resume from, everything before it is confirmed too.

use std::{collections::VecDeque, sync::Arc};

use dispatch_proto::{frame::FrameBuilder, rabbit::MAX_BODY};

/// A frame is closed when it has reached this size, in bytes.
const FRAME_BYTES: usize = 256 * 1024;
/// A frame holds at most so many events.
const FRAME_EVENTS: u32 = 512;
/// What a frame adds to its one event, in bytes: more than header, session id and event header take.
const FRAME_OVERHEAD: usize = 1024;

/// A payload that was received. `P` is dropped when it is confirmed: the permit to hold its bytes.
#[derive(Debug)]
pub struct Received<P> {
    /// Its place in a session; `None` if it has none and can only become a dead letter.
    pub place: Option<Place>,
    /// When it was read from the socket, in microseconds of Unix time.
    pub received_us: u64,
    /// Discord's own text.
    pub payload: String,
    /// The permit to hold it.
    pub permit: P,
}

/// A position in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Discord's id of the session.
    pub session: Arc<str>,
    /// The sequence (`s`).
    pub sequence: u64,
}

/// What is published in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// A frame with one or more events.
    Frame {
        /// The frame's bytes.
        body: Arc<[u8]>,
        /// Number of events.
        events: u32,
    },
    /// A payload that can't travel in a frame.
    DeadLetter {
        /// Discord's own text.
        body: Arc<[u8]>,
        /// Why.
        reason: DeadReason,
    },
}

/// Why a payload can't travel in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// Larger than what RabbitMQ takes.
    TooLarge,
    /// Without a sequence, or outside of a session.
    NoPlace,
}

impl DeadReason {
    /// In words, for the dead letter's header.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "payload is larger than the broker takes",
            Self::NoPlace => "payload has no sequence in a session",
        }
    }

    /// As a metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NoPlace => "no_place",
        }
    }
}

/// The payloads of one shard, from the socket to the confirm, in order.
#[derive(Debug)]
pub struct Outbox<P> {
    shard: u32,
    total: u32,
    waiting: VecDeque<Received<P>>,
    in_flight: Option<InFlight<P>>,
}

#[derive(Debug)]
struct InFlight<P> {
    parcel: Parcel,
    last: Option<Place>,
    _permits: Vec<P>,
}

impl<P> Outbox<P> {
    /// An empty outbox of `shard` of `total`.
    #[must_use]
    pub const fn new(shard: u32, total: u32) -> Self {
        Self {
            shard,
            total,
            waiting: VecDeque::new(),
            in_flight: None,
        }
    }

    /// Adds what was received.
    pub fn push(&mut self, received: Received<P>) {
        self.waiting.push_back(received);
    }

    /// Whether everything is confirmed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_none()
    }

    /// The parcel to publish: the one that is not confirmed yet, unchanged, else a new one.
    pub fn parcel(&mut self) -> Option<Parcel> {
        if self.in_flight.is_none() {
            self.in_flight = self.pack();
        }
        self.in_flight.as_ref().map(|flight| flight.parcel.clone())
    }

    /// The parcel is confirmed. Returns the place up to which everything is confirmed, if it has moved.
    pub fn confirm(&mut self) -> Option<Place> {
        self.in_flight.take()?.last
    }

    /// Drops everything, confirmed or not.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.in_flight = None;
    }

    fn pack(&mut self) -> Option<InFlight<P>> {
        let first = self.waiting.pop_front()?;
        let place = match dead_reason(&first) {
            None => first.place,
            Some(reason) => {
                return Some(InFlight {
                    parcel: Parcel::DeadLetter {
                        body: first.payload.into_bytes().into(),
                        reason,
                    },
                    last: first.place,
                    _permits: vec![first.permit],
                });
            }
        };
        let Place { session, sequence } = place?;
        let mut frame = FrameBuilder::new(self.shard, self.total, &session);
        frame.push(sequence, first.received_us, first.payload.as_bytes());
        let (mut events, mut sequence) = (1, sequence);
        let mut permits = vec![first.permit];
        while let Some(next) = self
            .waiting
            .pop_front_if(|next| events < FRAME_EVENTS && fits(&frame, &session, next))
        {
            sequence = next.place.map_or(0, |place| place.sequence);
            frame.push(sequence, next.received_us, next.payload.as_bytes());
            events += 1;
            permits.push(next.permit);
        }
        Some(InFlight {
            parcel: Parcel::Frame {
                events,
                body: frame.finish().into(),
            },
            last: Some(Place { session, sequence }),
            _permits: permits,
        })
    }
}

fn fits<P>(frame: &FrameBuilder, session: &str, next: &Received<P>) -> bool {
    dead_reason(next).is_none()
        && next
            .place
            .as_ref()
            .is_some_and(|place| *place.session == *session)
        && frame.bytes() + next.payload.len() <= FRAME_BYTES
}

fn dead_reason<P>(received: &Received<P>) -> Option<DeadReason> {
    if received.place.is_none() {
        Some(DeadReason::NoPlace)
    } else if received.payload.len() > MAX_BODY - FRAME_OVERHEAD {
        Some(DeadReason::TooLarge)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use dispatch_proto::frame::{Frame, RawEvent};
    use proptest::prelude::*;

    use super::*;

    fn received(session: &str, sequence: u64, payload: &str) -> Received<()> {
        Received {
            place: Some(Place {
                session: session.into(),
                sequence,
            }),
            received_us: 1,
            payload: payload.to_owned(),
            permit: (),
        }
    }

    fn place(session: &str, sequence: u64) -> Option<Place> {
        Some(Place {
            session: session.into(),
            sequence,
        })
    }

    fn frame_events(parcel: &Parcel) -> Vec<(String, u64)> {
        match parcel {
            Parcel::Frame { body, .. } => {
                let sections = Frame::decode(body).unwrap().sections.into_iter();
                let events = sections.flat_map(|section| {
                    let session = section.session.to_owned();
                    let of = move |event: RawEvent<'_>| (session.clone(), event.sequence);
                    section.events.into_iter().map(of)
                });
                events.collect()
            }
            Parcel::DeadLetter { .. } => Vec::new(),
        }
    }

    #[test]
    fn gathers_while_one_is_in_flight_and_repeats_it_unchanged() {
        let mut outbox = Outbox::new(0, 1);
        assert_eq!(outbox.parcel(), None);
        outbox.push(received("s", 1, "a"));
        let first = outbox.parcel().unwrap();
        outbox.push(received("s", 2, "b"));
        outbox.push(received("s", 3, "c"));
        assert_eq!(outbox.parcel().as_ref(), Some(&first));
        assert_eq!(outbox.confirm(), place("s", 1));
        let second = outbox.parcel().unwrap();
        assert_eq!(frame_events(&second).len(), 2);
        assert_eq!(outbox.confirm(), place("s", 3));
        assert!(outbox.is_empty());
        assert_eq!(outbox.confirm(), None);
    }

    #[test]
    fn a_frame_holds_one_session() {
        let mut outbox = Outbox::new(0, 1);
        outbox.push(received("old", 9, "a"));
        outbox.push(received("new", 1, "b"));
        outbox.parcel();
        assert_eq!(outbox.confirm(), place("old", 9));
        outbox.parcel();
        assert_eq!(outbox.confirm(), place("new", 1));
    }

    #[test]
    fn what_cannot_travel_becomes_a_dead_letter_in_its_place() {
        let mut outbox = Outbox::new(0, 1);
        outbox.push(received("s", 1, "a"));
        outbox.push(received("s", 2, &"x".repeat(MAX_BODY)));
        outbox.push(Received {
            place: None,
            ..received("s", 0, "{}")
        });
        outbox.push(received("s", 3, "b"));
        assert_eq!(
            frame_events(&outbox.parcel().unwrap()),
            [("s".to_owned(), 1)]
        );
        outbox.confirm();
        assert!(matches!(
            outbox.parcel().unwrap(),
            Parcel::DeadLetter {
                reason: DeadReason::TooLarge,
                ..
            }
        ));
        assert_eq!(outbox.confirm(), place("s", 2));
        assert!(matches!(
            outbox.parcel().unwrap(),
            Parcel::DeadLetter {
                reason: DeadReason::NoPlace,
                ..
            }
        ));
        assert_eq!(outbox.confirm(), None);
        outbox.parcel();
        assert_eq!(outbox.confirm(), place("s", 3));
    }

    proptest! {
        /// Whatever the sizes, sessions and moments of confirms: every event is in exactly one frame, in order; no frame is
        /// above its limits unless it is a single event; a confirm never names an event that was not in a confirmed frame.
        #[test]
        fn every_event_travels_once_in_order(
            steps in prop::collection::vec(prop_oneof![
                4 => (0_u8..2, 0_usize..200_000).prop_map(Some),
                1 => Just(None),
            ], 0..80)
        ) {
            let mut outbox = Outbox::new(3, 4);
            let (mut pushed, mut confirmed) = (Vec::new(), Vec::new());
            let confirm = |outbox: &mut Outbox<()>, confirmed: &mut Vec<(String, u64)>| {
                let Some(parcel) = outbox.parcel() else { return Ok(false) };
                let events = frame_events(&parcel);
                if let Parcel::Frame { body, events } = &parcel {
                    prop_assert!(*events == 1 || (body.len() <= FRAME_BYTES + FRAME_OVERHEAD && *events <= FRAME_EVENTS));
                }
                confirmed.extend(events);
                let last = outbox.confirm().map(|place| (place.session.to_string(), place.sequence));
                prop_assert_eq!(last.as_ref(), confirmed.last());
                Ok(true)
            };
            for (index, step) in steps.into_iter().enumerate() {
                match step {
                    Some((session, size)) => {
                        let (session, sequence) = (format!("s{session}"), index as u64);
                        outbox.push(received(&session, sequence, &"x".repeat(size)));
                        outbox.parcel();
                        pushed.push((session, sequence));
                    }
                    None => { confirm(&mut outbox, &mut confirmed)?; }
                }
            }
            while confirm(&mut outbox, &mut confirmed)? {}
            prop_assert!(outbox.is_empty());
            prop_assert_eq!(pushed, confirmed);
        }
    }
}
