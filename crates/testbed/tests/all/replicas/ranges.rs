//! Ranges of shards, by numbers and by a StatefulSet's ordinal, beside replicas that have none.

use std::collections::BTreeSet;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_free_replicas_leave_each_other_alone() {
    let mut options = Options::new(8, 16);
    let free = [("SHARDS_TOTAL", "8")];
    let free = free.map(|(name, value)| (name.to_owned(), value.to_owned()));
    options.env.extend(free);
    let mut replicas = Replicas::of(options).await;
    replicas.stack.ready().await.unwrap();
    let load = replicas.stack.start_load(80.0);
    let ordinal = |ordinal: &'static str| [("SHARDS_ORDINAL", ordinal), ("SHARDS_REPLICAS", "4")];
    replicas.add_with(&[("SHARDS_START", "4"), ("SHARDS_END", "5")]);
    replicas.add_with(&ordinal("gateway-ingest-0"));
    // Both of the part 6 to 7.
    replicas.add_with(&ordinal("3"));
    replicas.add_with(&ordinal("3"));
    replicas
        .hold(&[&[2, 3], &[4, 5], &[0, 1], &[6, 7], &[6, 7]])
        .await;
    // Another free one takes its part of what is free, and nothing else moves.
    let resumes = replicas.stack.sim.resumes();
    replicas.add();
    replicas
        .hold(&[&[2, 3], &[4, 5], &[0, 1], &[6, 7], &[6, 7], &[2, 3]])
        .await;
    assert_eq!(replicas.stack.sim.resumes(), resumes + 1);
    // Where a part has nobody any more, the free ones take it, until it has somebody again.
    replicas.more[1].kill9();
    let (all, none): (&[u32], &[u32]) = (&[0, 1, 2, 3], &[]);
    replicas
        .hold(&[all, &[4, 5], none, &[6, 7], &[6, 7], all])
        .await;
    replicas.more[1].restart().unwrap();
    replicas
        .hold(&[&[2, 3], &[4, 5], &[0, 1], &[6, 7], &[6, 7], &[2, 3]])
        .await;
    replicas.finish(load).await;
}

impl Replicas {
    /// Waits until every shard is connected once, at a process that may have it, and those that may have the same have as many.
    async fn hold(&mut self, ranges: &[&[u32]]) {
        let mut held: Vec<BTreeSet<u32>> = Vec::new();
        let total = self.stack.shards as usize;
        let as_wanted = wait::until("each to hold its part", 2 * EVEN, async || {
            held.clear();
            let mut connected = 0;
            for replica in self.all() {
                connected += replica.shards_connected().await.unwrap_or_default();
                let metrics = replica.metrics().await.unwrap_or_default();
                let shards = metrics.by("gateway_latencies", "shard");
                held.push(
                    shards
                        .keys()
                        .filter_map(|shard| shard.parse().ok())
                        .collect(),
                );
            }
            let within = |(held, range): (&BTreeSet<u32>, &&[u32])| {
                let sharing = ranges.iter().filter(|other| *other == range).count();
                let part = range.len() / sharing;
                held.len() == part && held.iter().all(|shard| range.contains(shard))
            };
            connected as usize == total
                && held.iter().flatten().collect::<BTreeSet<_>>().len() == total
                && held.iter().zip(ranges).all(within)
        });
        let as_wanted = as_wanted.await;
        assert!(
            as_wanted.is_ok(),
            "{as_wanted:?}: {held:?}\n{}",
            self.logs()
        );
    }
}
