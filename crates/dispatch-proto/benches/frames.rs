//! What each event costs on its way through a frame: `cargo bench --package dispatch-proto`.

use std::hint::black_box;

use dispatch_proto::{
    envelope::Envelope,
    event::enriched,
    frame::{Frame, FrameBuilder},
};
use divan::{Bencher, counter::ItemsCount};

/// Events of a frame under load.
const EVENTS: u64 = 200;

fn main() {
    divan::main();
}

/// Of about the size of a message's.
fn payload(sequence: u64) -> String {
    format!(
        r#"{{"t":"MESSAGE_CREATE","s":{sequence},"op":0,"d":{{"id":"{sequence}","channel_id":"2","guild_id":"1","content":"{}","author":{{"id":"3","username":"somebody"}},"mentions":[],"embeds":[]}}}}"#,
        "words and \\\"words\\\" ".repeat(40)
    )
}

fn frame(payloads: &[String]) -> Vec<u8> {
    let mut frame = FrameBuilder::new(0, 1, "session");
    for (sequence, payload) in (1..).zip(payloads) {
        frame.push(sequence, 0, payload.as_bytes());
    }
    frame.finish()
}

#[divan::bench]
fn read_envelope(bencher: Bencher) {
    let payload = payload(1);
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench(|| Envelope::read(black_box(&payload)).sequence);
}

#[divan::bench]
fn build(bencher: Bencher) {
    let payloads: Vec<_> = (0..EVENTS).map(payload).collect();
    bencher
        .counter(ItemsCount::new(EVENTS))
        .bench(|| frame(black_box(&payloads)));
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let body = frame(&(0..EVENTS).map(payload).collect::<Vec<_>>());
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| {
        let frame = Frame::decode(black_box(&body)).ok()?;
        let events = frame.sections.iter().flat_map(|section| &section.events);
        Some(events.filter(|event| event.dispatch().is_ok()).count())
    });
}

#[divan::bench]
fn enrich(bencher: Bencher) {
    let payload = payload(1);
    let data = Envelope::read(&payload).data();
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench(|| enriched("MESSAGE_UPDATE", 1, black_box(data), Some(black_box(data))));
}
