//! A replica that is frozen for longer than Discord keeps its sessions.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_discord_has_given_up_is_told_and_nothing_else_is_missing() {
    let mut options = Options::new(8, 16);
    // Discord notices after 4 s that nobody is there, and the broker after 10 s at least.
    options.sim.heartbeat_interval = Duration::from_secs(2);
    options.sim.session_lifetime = Duration::from_secs(4);
    let mut replicas = Replicas::of(options).await;
    replicas.add();
    replicas.add();
    replicas.even(LIMIT).await;
    assert_eq!(replicas.stack.sim.identifies(), 8);
    let load = replicas.stack.start_load(100.0);
    let frozen = &mut replicas.more[0];
    let held = frozen.shards_connected().await.unwrap();
    frozen.sigstop();
    let began = Instant::now();
    replicas.held_without(1).await;
    eprintln!("a frozen replica was replaced after {:?}", began.elapsed());
    replicas.more[0].sigcont();
    replicas.even(EVEN).await;
    replicas.stack.sim.stop_load();
    load.await.unwrap();
    // What stood in its sockets is behind each gap: nothing before it, and nothing of the shards of others.
    let (report, gaps) = replicas.check_beside_gaps().await;
    let faults = report.faults(Tolerated::default());
    assert_eq!(
        faults,
        Vec::<String>::new(),
        "{report}\n{}",
        replicas.logs()
    );
    assert_eq!(gaps, held as usize);
    assert_eq!(replicas.stack.sim.identifies(), u64::from(8 + held));
    assert_eq!(replicas.stack.sim.violations(), Vec::<String>::new());
}
