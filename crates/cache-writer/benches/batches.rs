//! What the core does with each event of a batch: `cargo bench --package cache-writer`.

use std::hint::black_box;

use cache_writer::core::{
    applied::Applied,
    event::Event,
    journal::{Journal, JournalWriter},
    layout,
    plan::{plan, reads},
    settings::Settings,
    snapshot::Snapshot,
};
use divan::{Bencher, counter::ItemsCount};

/// Events of a batch under load.
const EVENTS: u64 = 200;
const SESSION: &str = "00000000000000000000000000000000";

fn main() {
    divan::main();
}

/// A message as it is sent; as the state before it, too.
fn message(id: u64) -> String {
    format!(
        r#"{{"id":"{id}","channel_id":"2","guild_id":"1","content":"{}","author":{{"id":"3","username":"somebody"}},"member":{{"roles":["4","5"],"joined_at":"2020-01-01T00:00:00Z"}},"mentions":[],"embeds":[]}}"#,
        "words and \\\"words\\\" ".repeat(40)
    )
}

fn messages() -> Vec<String> {
    (1..=EVENTS).map(message).collect()
}

fn events<'a>(name: &'a str, data: &'a [String]) -> Vec<Event<'a>> {
    let event =
        |(sequence, data): (u64, &'a String)| Event::new(SESSION, sequence, (0, 1), name, data);
    (1..).zip(data).map(event).collect()
}

/// All that is read for them is cached.
fn cached(events: &[Event<'_>], settings: &Settings) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for entity in reads(events, settings).entities {
        snapshot.insert(entity, Some(message(entity.id())));
    }
    snapshot
}

#[divan::bench(args = ["MESSAGE_CREATE", "MESSAGE_UPDATE"])]
fn find_reads(bencher: Bencher, name: &str) {
    let (data, settings) = (messages(), Settings::default());
    bencher
        .counter(ItemsCount::new(EVENTS))
        .bench(|| reads(&events(name, black_box(&data)), &settings));
}

#[divan::bench(args = ["MESSAGE_CREATE", "MESSAGE_UPDATE"])]
fn make_plan(bencher: Bencher, name: &str) {
    let (data, settings) = (messages(), Settings::default());
    let events = events(name, &data);
    let snapshot = cached(&events, &settings);
    bencher
        .counter(ItemsCount::new(EVENTS))
        .bench(|| plan(black_box(&events), &snapshot, &settings));
}

#[divan::bench]
fn lay_out(bencher: Bencher) {
    let (data, settings) = (messages(), Settings::default());
    let events = events("MESSAGE_CREATE", &data);
    let plan = plan(&events, &cached(&events, &settings), &settings);
    bencher
        .counter(ItemsCount::new(EVENTS))
        .bench(|| layout::commands(black_box(&plan.writes), &settings, 0).len());
}

#[divan::bench]
fn write_journal(bencher: Bencher) {
    let data = messages();
    bencher
        .counter(ItemsCount::new(EVENTS))
        .bench(|| journal(black_box(&data)));
}

#[divan::bench]
fn read_journal(bencher: Bencher) {
    let text = journal(&messages());
    bencher
        .counter(ItemsCount::new(EVENTS))
        .bench(|| Journal::decode(black_box(&text)));
}

fn journal(old: &[String]) -> String {
    let mut journal = JournalWriter::default();
    for (sequence, old) in (1..).zip(old) {
        journal.push(SESSION, sequence, Some(old), None);
    }
    JournalWriter::finish("batch/1", [&journal])
}

#[divan::bench]
fn judge(bencher: Bencher) {
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| {
        let mut applied = Applied::default();
        for sequence in 1..=EVENTS {
            black_box(applied.judge((1, 0), SESSION, sequence));
            applied.advance((1, 0), SESSION, sequence);
        }
        applied
    });
}
