//! One of three writers, and one of three routers, dies or freezes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dispatch_proto::rabbit::SEND_QUEUE;
use lapin::BasicProperties;
use serde_json::json;

use super::*;
use crate::router::client::Client;

const REPLIES: &str = "replies";
/// As many commands as a router may have handed on without having acknowledged them.
const IN_FLIGHT: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn writers_and_routers_that_die_or_freeze_lose_and_repeat_nothing_for_long() {
    let mut options = Options::new(8, 24);
    options.writers = 3;
    let mut replicas = Replicas::of(options).await;
    let mut routers: Vec<Process> = (1..3)
        .map(|n| replicas.process(Service::CommandRouter, &format!("command-router-{n}")))
        .collect();
    replicas.stack.ready().await.unwrap();
    for router in &mut routers {
        router.ready(LIMIT).await.unwrap();
    }
    let load = replicas.stack.start_load(150.0);
    let asker = Asker::start(&replicas).await;

    replicas.stack.writers[0].kill9();
    replicas.stack.writers[1].sigstop();
    for freezes in [false, true] {
        let active = active(&mut replicas, &mut routers).await.unwrap();
        let ended = Instant::now();
        match freezes {
            true => router(&mut replicas, &mut routers, active).sigstop(),
            false => router(&mut replicas, &mut routers, active).kill9(),
        }
        // A frozen one is noticed when RabbitMQ has missed its heartbeats for 15 s.
        let limit = if freezes {
            Duration::from_secs(25)
        } else {
            Duration::from_secs(3)
        };
        let taken = wait::until("another router to be active", LIMIT, async || {
            let other = self::active(&mut replicas, &mut routers).await;
            other.is_some_and(|other| other != active)
        });
        taken.await.unwrap();
        let took = ended.elapsed();
        eprintln!("another router was active after {took:?} (frozen: {freezes})");
        assert!(took < limit, "{took:?}");
        match freezes {
            true => router(&mut replicas, &mut routers, active).sigcont(),
            false => router(&mut replicas, &mut routers, active)
                .restart()
                .unwrap(),
        }
        router(&mut replicas, &mut routers, active)
            .ready(LIMIT)
            .await
            .unwrap();
    }
    replicas.stack.writers[1].sigcont();
    replicas.stack.writers[0].restart().unwrap();
    replicas.stack.writers[0].ready(LIMIT).await.unwrap();

    asker.finish().await;
    replicas.finish_after(2, load).await;
}

/// The place of the active router: 0 is the stack's.
async fn active(replicas: &mut Replicas, routers: &mut [Process]) -> Option<usize> {
    for place in 0..=routers.len() {
        let router = router(replicas, routers, place);
        // One that is frozen, or has just ended, says nothing.
        let metrics = tokio::time::timeout(Duration::from_millis(300), router.metrics());
        let Ok(Ok(metrics)) = metrics.await else {
            continue;
        };
        if metrics.sum("command_router_active") == Some(1.0) {
            return Some(place);
        }
    }
    None
}

fn router<'a>(
    replicas: &'a mut Replicas,
    routers: &'a mut [Process],
    place: usize,
) -> &'a mut Process {
    match place {
        0 => &mut replicas.stack.router,
        place => &mut routers[place - 1],
    }
}

/// Sends commands that ask for a reply, one after the other.
struct Asker {
    client: Client,
    stop: Arc<AtomicBool>,
    asked: JoinHandle<u64>,
}

impl Asker {
    async fn start(replicas: &Replicas) -> Self {
        let url = replicas.stack.servers.rabbitmq.url();
        let client = Client::connect(&url).await;
        client.declare(REPLIES, &[]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let asked = tokio::spawn(async move {
            let client = Client::connect(&url).await;
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                let d = json!({"since": number, "activities": [], "status": "idle", "afk": false});
                let body = json!({"op": 0, "shard": number % 8, "data": {"op": 3, "d": d}});
                let properties = BasicProperties::default()
                    .with_reply_to(REPLIES.into())
                    .with_correlation_id(number.to_string().into());
                client
                    .publish(SEND_QUEUE, properties, body.to_string().as_bytes())
                    .await;
                number += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            number
        });
        Self {
            client,
            stop,
            asked,
        }
    }

    /// Waits until each is answered. What a router that died had handed on, and not acknowledged, is handed on once more.
    async fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        let asked = self.asked.await.unwrap();
        let mut answers: BTreeMap<u64, usize> = BTreeMap::new();
        let answered = wait::until("every answer", LIMIT, async || {
            while let Some(reply) = self.client.take(REPLIES).await {
                let id = reply.properties.correlation_id().as_ref().unwrap();
                *answers.entry(id.as_str().parse().unwrap()).or_default() += 1;
                let reply: Value = serde_json::from_slice(&reply.data).unwrap();
                assert_eq!(reply["ok"], true, "{reply}");
            }
            answers.len() as u64 == asked
        });
        answered.await.unwrap();
        let repeats = answers.values().filter(|times| **times > 1).count();
        eprintln!("{asked} commands, {repeats} of them answered twice");
        assert!(repeats <= IN_FLIGHT, "{repeats} of {asked}");
        assert!(answers.values().all(|times| *times <= 2), "{answers:?}");
    }
}
