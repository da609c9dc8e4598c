//! From deliveries to events.

use std::{borrow::Cow, sync::Arc};

use dispatch_proto::{
    event::Dispatch,
    frame::{Frame, FrameError, inflated},
    notice::Gap,
};
use dispatch_service::amqp::PublishError;
use lapin::message::Delivery;

use super::publish::{EventPublisher, Outgoing};
use crate::{
    core::{event::Event, owner::EventId},
    metrics,
};

/// An event of a frame.
pub(super) struct Incoming<'a> {
    pub(super) id: EventId,
    received_us: u64,
    payload: &'a [u8],
    dispatch: Result<Dispatch<'a>, String>,
}

/// The frames of deliveries, decompressed.
pub(super) fn bodies(deliveries: &[Delivery]) -> Vec<Result<Cow<'_, [u8]>, FrameError>> {
    let bodies = deliveries.iter().map(|delivery| inflated(&delivery.data));
    bodies.collect()
}

/// What deliveries hold.
#[derive(Default)]
pub(super) struct Contents<'a> {
    pub(super) events: Vec<Incoming<'a>>,
    /// For each delivery its events.
    pub(super) frames: Vec<Vec<EventId>>,
    /// Why the delivery behind those can't be read by this process, but by another perhaps.
    pub(super) unreadable: Option<String>,
}

impl<'a> Contents<'a> {
    /// Decodes deliveries, whose frames are `bodies`. What is no frame at all goes to the dead letters; at a frame of an unknown
    /// version reading ends.
    pub(super) async fn decode(
        deliveries: &[Delivery],
        bodies: &'a [Result<Cow<'_, [u8]>, FrameError>],
        publisher: &mut EventPublisher,
    ) -> Result<Self, PublishError> {
        let mut contents = Self::default();
        for (delivery, body) in deliveries.iter().zip(bodies) {
            metrics::frame();
            let body = body.as_ref().map_err(Clone::clone);
            match body.and_then(|body| Frame::decode(body)) {
                Ok(frame) => contents.add(frame),
                Err(error @ FrameError::UnknownVersion(_)) => {
                    contents.unreadable = Some(error.to_string());
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "delivery is not a frame of raw events");
                    metrics::dead_letter("frame");
                    let reason = error.to_string();
                    publisher.dead_letter(&reason, &delivery.data).await?;
                    contents.frames.push(Vec::new());
                }
            }
        }
        Ok(contents)
    }

    fn add(&mut self, frame: Frame<'a>) {
        let mut ids = Vec::new();
        for section in frame.sections {
            let session: Arc<str> = section.session.into();
            for event in section.events {
                let id = EventId {
                    total: section.total,
                    shard: section.shard,
                    session: session.clone(),
                    sequence: event.sequence,
                };
                ids.push(id.clone());
                self.events.push(Incoming {
                    id,
                    received_us: event.received_us,
                    payload: event.payload,
                    dispatch: event.dispatch().map_err(|error| error.to_string()),
                });
            }
        }
        self.frames.push(ids);
    }
}

impl Incoming<'_> {
    /// The event's name; empty if the payload is no dispatch.
    pub(super) fn name(&self) -> &str {
        let dispatch = self.dispatch.as_ref();
        dispatch.map_or("", |dispatch| dispatch.name.as_ref())
    }

    /// The event as the core sees it. One that can't be published keeps its place with a name that no rule knows.
    pub(super) fn view(&self) -> Event<'_> {
        let EventId {
            total,
            shard,
            session,
            sequence,
        } = &self.id;
        Event::new(
            session,
            *sequence,
            (*shard, *total),
            self.name(),
            self.data(),
        )
        .received(self.received_us)
    }

    /// The event as it is published.
    pub(super) fn outgoing<'o>(&'o self, old: Option<&'o str>, gap: Option<Gap>) -> Outgoing<'o> {
        Outgoing {
            shard: self.id.shard,
            session: &self.id.session,
            sequence: self.id.sequence,
            received_us: self.received_us,
            name: self.name(),
            data: self.data(),
            old,
            gap,
            unpublishable: self.dispatch.as_ref().err().cloned(),
            payload: self.payload,
        }
    }

    fn data(&self) -> &str {
        let dispatch = self.dispatch.as_ref();
        dispatch.map_or("null", |dispatch| dispatch.data)
    }
}
