//! The owner's protocol against a model of Redis, of RabbitMQ and of Discord's order, under random schedules: crashes, lost
//! channels, answers that never come, transactions that arrive late, older data, refused writes, refused messages, redelivery, two processes, two totals of shards, or two
//! versions of the writer.
//! What P1 to P4 promise must hold after each.

#![allow(clippy::unwrap_used)]

#[path = "protocol/broker.rs"]
mod broker;
#[path = "protocol/process.rs"]
mod process;
#[path = "protocol/redis.rs"]
mod redis;
#[path = "protocol/stream.rs"]
mod stream;
#[path = "protocol/world.rs"]
mod world;

use proptest::prelude::*;
use world::{Faults, World};

fn faults() -> impl Strategy<Value = Faults> {
    proptest::array::uniform9(proptest::bool::weighted(0.4)).prop_map(|on| {
        let [
            crashes,
            cuts,
            timeouts,
            late,
            rollbacks,
            refusals,
            handovers,
            update,
            nacks,
        ] = on;
        Faults {
            crashes,
            cuts,
            timeouts,
            late,
            rollbacks,
            refusals,
            handovers,
            update,
            nacks,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_promises_hold_under_every_schedule(
        faults in faults(),
        choices in proptest::collection::vec(any::<u16>(), 50..700),
    ) {
        let mut world = World::new(faults);
        world.run(choices);
        world.settle();
        world.check();
    }
}
