//! The suite's cases, and random ones.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::Case;
use super::strike::Strike;

/// Events a second in the suite.
const RATE: f64 = 500.0;
/// Rounds of the cases that hit at many different moments.
const MANY: usize = 8;

/// The fault suite.
#[must_use]
pub fn suite(seed: u64) -> Vec<Case> {
    use Strike::{
        BlockRabbitMq, CloseAfterHello, CutSocket, FreezeRedis, FreezeWriter, FreezeWriterInBatch,
        InvalidResumable, InvalidSession, KillIngest, KillRabbitMq, KillRedis, KillRouter,
        KillWriter, KillWriterInBatch, KillWriterUnconfirmed, LimitRest, LoseRedis, NoHello,
        Reconnect, ReconnectThenSilence, RefuseConnections, RefuseResumes, ResetUpgrades,
        SilenceWriter, SilentResume, StallAcks, SwallowRedis, TermIngest, TermRouter, TermWriter,
        TermWriterInBatch,
    };
    let single = |strike| vec![vec![strike]];
    let turns = |strike: fn(usize) -> Strike| (0..MANY).map(|n| vec![strike(n)]).collect();
    let cases: [(&str, Vec<Vec<Strike>>); 40] = [
        ("no fault", Vec::new()),
        ("kill -9 ingest, 4 times", vec![vec![KillIngest]; 4]),
        ("kill -9 writer, 8 times", turns(KillWriter)),
        ("kill -9 writer in batch, 8 times", turns(KillWriterInBatch)),
        (
            "kill -9 before confirms, 4 times",
            vec![vec![KillWriterUnconfirmed]; 4],
        ),
        ("kill -9 router", single(KillRouter)),
        ("SIGTERM ingest", single(TermIngest)),
        ("SIGTERM writers, 8 times", turns(TermWriter)),
        (
            "SIGTERM writers in batch, 8 times",
            turns(TermWriterInBatch),
        ),
        ("SIGTERM router", single(TermRouter)),
        ("RabbitMQ killed", single(KillRabbitMq)),
        ("RabbitMQ memory alarm", single(BlockRabbitMq)),
        ("Redis killed, with its data", single(KillRedis)),
        ("Redis killed, without its data", single(LoseRedis)),
        ("Redis frozen for too long", single(FreezeRedis)),
        ("Redis unreachable, then late data", single(SwallowRedis)),
        ("socket cut", single(CutSocket)),
        ("op 7", single(Reconnect)),
        ("op 9 resumable", single(InvalidResumable)),
        ("op 9 not resumable", single(InvalidSession)),
        ("heartbeat acks stalled", single(StallAcks)),
        (
            "connections refused",
            vec![vec![CutSocket, RefuseConnections]],
        ),
        ("reset after the upgrade", single(ResetUpgrades)),
        ("closed after HELLO", single(CloseAfterHello)),
        ("resumes refused", single(RefuseResumes)),
        ("no HELLO", single(NoHello)),
        ("node dies at the resume", single(SilentResume)),
        ("node dies after op 7", single(ReconnectThenSilence)),
        (
            "REST says 429, ingest killed",
            vec![vec![LimitRest, KillIngest]],
        ),
        ("writer frozen and woken, 8 times", turns(FreezeWriter)),
        (
            "writer frozen in batch, 8 times",
            turns(FreezeWriterInBatch),
        ),
        ("writer silent, then woken", single(SilenceWriter(0))),
        (
            "ingest and writer killed",
            vec![vec![KillIngest, KillWriter(0)]],
        ),
        (
            "both writers killed",
            vec![vec![KillWriter(0), KillWriter(1)]],
        ),
        (
            "RabbitMQ and Redis killed",
            vec![vec![KillRabbitMq, KillRedis]],
        ),
        (
            "RabbitMQ and ingest killed",
            vec![vec![KillRabbitMq, KillIngest]],
        ),
        (
            "RabbitMQ alarm, ingest killed",
            vec![vec![BlockRabbitMq, KillIngest]; 2],
        ),
        (
            "Redis lost, writer killed",
            vec![vec![LoseRedis, KillWriter(0)]],
        ),
        (
            "Redis and writer killed",
            vec![vec![KillRedis, KillWriter(0)]],
        ),
        (
            "writer frozen, socket cut",
            vec![vec![FreezeWriter(0), CutSocket]],
        ),
    ];
    let case = |(n, (name, rounds)): (u64, (&str, _))| Case {
        name: name.to_owned(),
        rounds,
        seed: seed.wrapping_add(n),
        rate: RATE,
        settings: BTreeMap::new(),
    };
    (0..).zip(cases).map(case).collect()
}

/// A random case: two to five rounds of one or two strikes each, the same for the same seed.
#[must_use]
pub fn random(seed: u64) -> Case {
    let mut rng = StdRng::seed_from_u64(seed);
    let rounds: Vec<Vec<Strike>> = (0..rng.random_range(2..=5))
        .map(|_| {
            let count = if rng.random_bool(0.4) { 2 } else { 1 };
            Strike::ALL
                .choose_multiple(&mut rng, count)
                .copied()
                .collect()
        })
        .map(separable)
        .collect();
    Case {
        name: format!("seed {seed}: {}", describe(&rounds)),
        rounds,
        seed,
        rate: RATE,
        settings: BTreeMap::new(),
    }
}

/// Leaves one of two strikes that can't be told apart afterwards, or of which one is needed to make the other.
fn separable(mut round: Vec<Strike>) -> Vec<Strike> {
    if let [first, second] = *round.as_slice()
        && (clash(first, second) || clash(second, first))
    {
        round.truncate(1);
    }
    round
}

fn clash(first: Strike, second: Strike) -> bool {
    use Strike::{
        BlockRabbitMq, CloseAfterHello, FreezeRedis, FreezeWriter, FreezeWriterInBatch,
        InvalidSession, KillIngest, KillRabbitMq, KillRedis, KillRouter, KillWriterInBatch,
        KillWriterUnconfirmed, LoseRedis, NoHello, RefuseConnections, RefuseResumes, ResetUpgrades,
        SilenceWriter, SilentResume, SwallowRedis, TermIngest, TermRouter, TermWriter,
        TermWriterInBatch,
    };
    let is_broker = matches!(second, KillRabbitMq | BlockRabbitMq);
    let is_store = matches!(second, KillRedis | LoseRedis | FreezeRedis | SwallowRedis);
    let is_ingest = matches!(second, KillIngest | TermIngest);
    // Nothing comes in again before the round is over.
    let stops_events = is_ingest
        || matches!(
            second,
            RefuseConnections | ResetUpgrades | CloseAfterHello | NoHello
        );
    // One process crashes or ends once.
    let writer = |strike: Strike| strike.writer_crash().or(strike.writer_end());
    if writer(first).is_some() && writer(first) == writer(second) {
        return true;
    }
    match first {
        // Both servers and every writer have a part in it.
        KillWriterUnconfirmed => is_broker || is_store || stops_events || writer(second).is_some(),
        KillIngest => is_ingest,
        KillRouter => second == TermRouter,
        // An orderly end needs servers that answer.
        TermIngest | TermRouter | TermWriter(_) => is_broker || is_store,
        TermWriterInBatch(_) => is_broker || is_store || stops_events,
        // Redis must answer in the end, to both, and events must come in.
        KillWriterInBatch(_) => is_broker || is_store || stops_events,
        FreezeWriterInBatch(_) => is_broker || is_store || stops_events,
        // Its connections are closed with the broker's help.
        FreezeWriter(_) | SilenceWriter(_) => is_broker,
        KillRabbitMq => is_broker,
        KillRedis => is_store,
        // What is late needs a Redis that answers, and events that come in.
        FreezeRedis | SwallowRedis => {
            is_store || is_broker || stops_events || matches!(second, SilenceWriter(_))
        }
        // Each ends with all of Discord's wrong answers.
        ResetUpgrades | CloseAfterHello | RefuseResumes | NoHello | SilentResume => matches!(
            second,
            ResetUpgrades | CloseAfterHello | RefuseResumes | NoHello | SilentResume
        ),
        // What only a process had in hand is gone with it once the session can't be resumed either.
        LoseRedis | InvalidSession => is_ingest,
        _ => false,
    }
}

fn describe(rounds: &[Vec<Strike>]) -> String {
    let round = |round: &Vec<Strike>| {
        round
            .iter()
            .map(|strike| format!("{strike:?}"))
            .collect::<Vec<_>>()
            .join("+")
    };
    rounds.iter().map(round).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_cases_are_reproducible_and_differ() {
        assert_eq!(random(7).name, random(7).name);
        let names: std::collections::BTreeSet<_> = (0..50).map(|n| random(n).name).collect();
        assert!(names.len() > 45);
    }

    #[test]
    fn strikes_that_need_each_other_do_not_hit_together() {
        use Strike::{FreezeWriter, KillIngest, KillRabbitMq, KillWriter, LoseRedis, TermWriter};
        assert_eq!(
            separable(vec![KillRabbitMq, FreezeWriter(0)]),
            [KillRabbitMq]
        );
        assert_eq!(
            separable(vec![TermWriter(1), KillWriter(1)]),
            [TermWriter(1)]
        );
        assert_eq!(separable(vec![KillIngest, LoseRedis]), [KillIngest]);
        assert_eq!(separable(vec![KillIngest, KillWriter(0)]).len(), 2);
        let twice = vec![Strike::SilenceWriter(0), KillWriter(0)];
        assert_eq!(separable(twice), [Strike::SilenceWriter(0)]);
        assert_eq!(separable(vec![KillWriter(0), LoseRedis]).len(), 2);
        assert_eq!(separable(vec![KillWriter(0), KillWriter(1)]).len(), 2);
    }

    #[test]
    fn the_suite_strikes_in_every_way_and_names_each_case_once() {
        let suite = suite(1);
        let struck: Vec<_> = suite.iter().flat_map(|case| case.rounds.concat()).collect();
        assert!(Strike::ALL.iter().all(|strike| struck.contains(strike)));
        let names: std::collections::BTreeSet<_> = suite.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), suite.len());
    }
}
