//! A replica that has nothing to do, and what one does that may not ask the budget.

use discord_sim::{Fault, Scope};

use super::*;

/// Longer than Discord wants a shard to wait before it identifies again.
const REDIS_AWAY: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_a_shard_is_ready_and_takes_over() {
    let mut replicas = Replicas::start(1).await;
    let load = replicas.stack.start_load(50.0);
    replicas.add();
    replicas.more[0].ready(LIMIT).await.unwrap();
    assert_eq!(replicas.more[0].shards_connected().await, Some(0));
    // As an update does: the old one ends when the new one is ready.
    std::mem::swap(&mut replicas.stack.ingest, &mut replicas.more[0]);
    replicas.more[0].stop(STOP).await.unwrap();
    replicas.even(EVEN).await;
    assert!(replicas.stack.ingest.is_ready().await);
    replicas.finish(load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_sessions_are_resumed_and_none_is_begun() {
    let mut replicas = Replicas::start(2).await;
    replicas.add();
    replicas.even(EVEN).await;
    let sim = &replicas.stack.sim;
    let (resumes, identifies) = (sim.resumes(), sim.identifies());
    replicas.stack.servers.redis.freeze();
    sim.fault(Fault::InvalidSession { resumable: false }, Scope::Shard(0));
    sim.fault(Fault::Drop, Scope::Shard(1));
    tokio::time::sleep(REDIS_AWAY).await;
    assert_eq!(sim.resumes(), resumes + 1);
    assert_eq!(sim.identifies(), identifies);
    replicas.stack.servers.redis.wake();
    replicas.even(LIMIT).await;
    let sim = &replicas.stack.sim;
    assert_eq!(sim.identifies(), identifies + 1);
    assert_eq!(sim.violations(), Vec::<String>::new());
}
