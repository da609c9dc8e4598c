//! Redis comes back with older data, as by a fail-over to a replica that lagged, while shards move.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn older_data_in_the_middle_of_a_move_moves_on_by_resumes() {
    let servers = Servers::start(Persistence::EveryWrite).await.unwrap();
    let mut replicas = Replicas::on(servers, Options::new(8, 16)).await;
    replicas.stack.ready().await.unwrap();
    replicas.add();
    replicas.even(EVEN).await;
    let load = replicas.stack.start_load(100.0);
    replicas.stack.servers.redis.keep_copy().unwrap();
    // The copy names an owner that has ended since, and one too few.
    replicas.add();
    replicas.even(EVEN).await;
    replicas.more[0].stop(STOP).await.unwrap();
    replicas.even(EVEN).await;
    replicas.more[0].restart().unwrap();
    let moving = wait::until("the first shard to move", LIMIT, async || {
        replicas.more[0].shards_connected().await > Some(0)
    });
    moving.await.unwrap();
    replicas.stack.servers.redis.roll_back().unwrap();
    replicas.stack.servers.redis.restart().await.unwrap();
    replicas.even(EVEN).await;
    replicas.pause(load).await;
    // The cache lacks what was applied since, and what is updated has an older `old`.
    let report = replicas.stack.check(LIMIT).await.unwrap();
    let found = (report.lost, report.repeated, report.misordered);
    assert_eq!(found, (0, 0, 0), "{report}\n{}", replicas.logs());
    assert_eq!(replicas.stack.collector.ledger().distinct_gaps(), 0);
    assert_eq!(replicas.stack.sim.identifies(), 8);
    assert_eq!(replicas.stack.sim.violations(), Vec::<String>::new());
}
