//! The network between one replica and one of the servers swallows everything for a while.

use testbed::proxy::Proxy;

use super::*;

/// Longer than a sign of life.
const LASTS: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_one_server_does_not_hear_keeps_or_hands_over_its_shards() {
    let mut replicas = Replicas::start(8).await;
    let servers = &replicas.stack.servers;
    let redis = Proxy::start(servers.redis.port()).await.unwrap();
    let before = servers.rabbitmq.url();
    let port = |url: &str| {
        url.rsplit_once(':')
            .unwrap()
            .1
            .split('/')
            .next()
            .unwrap()
            .to_owned()
    };
    let rabbit = Proxy::start(port(&before).parse().unwrap()).await.unwrap();
    let through = before.replace(&port(&before), &port(&rabbit.redis_url()));
    replicas.add_with(&[("REDIS_URL", &redis.redis_url())]);
    replicas.add_with(&[("RABBIT_URL", &through)]);
    replicas.even(EVEN).await;
    let load = replicas.stack.start_load(100.0);
    // Without Redis it goes on: the locks are what counts.
    let resumes = replicas.stack.sim.resumes();
    redis.swallow_from("GET");
    tokio::time::sleep(LASTS).await;
    assert!(redis.swallows());
    redis.heal();
    redis.deliver();
    replicas.even(EVEN).await;
    assert_eq!(replicas.stack.sim.resumes(), resumes);
    // Without RabbitMQ the others resume its shards.
    rabbit.swallow_from("gateway");
    replicas.held_without(2).await;
    rabbit.heal();
    rabbit.deliver();
    replicas.even(2 * EVEN).await;
    replicas.finish(load).await;
}
