//! Each real binary: starts, becomes healthy, ends at SIGTERM with code 0; and names every wrong setting at once.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use discord_sim::{Sim, SimConfig};
use testbed::binaries::Service;
use testbed::http;
use testbed::process::Process;
use testbed::servers::{Persistence, Servers};
use testbed::stack::{STOP_LIMIT, settings};

const READY_LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn each_service_becomes_healthy_and_ends_at_sigterm() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let sim = Sim::start(SimConfig::default()).await.unwrap();
    let mut env = settings::links(&servers.rabbitmq.url(), &servers.redis.url());
    env.extend(settings::discord(
        "sim-token",
        &sim.http_url(),
        &sim.gateway_url(),
    ));
    env.extend(settings::shards(1));
    for service in Service::ALL {
        let mut process = Process::start(service, service.name(), servers.dir(), &env).unwrap();
        process.ready(READY_LIMIT).await.unwrap();
        for path in ["/livez", "/readyz", "/healthcheck", "/metrics"] {
            let answer = http::fetch(process.port(), path).await.unwrap();
            assert_eq!(answer.status, 200, "{} {path}", service.name());
        }
        assert_eq!(healthcheck(service, process.port()), Some(0));
        let port = process.port();
        process.stop(STOP_LIMIT).await.unwrap();
        assert_eq!(healthcheck(service, port), Some(1));
    }
    assert_eq!(sim.violations(), Vec::<String>::new());
}

/// Exit code of the binary's own check of the service on this port.
fn healthcheck(service: Service, port: u16) -> Option<i32> {
    let mut check = Command::new(service.binary().unwrap());
    check.arg("healthcheck").env_clear();
    check.env("PROMETHEUS_PORT", port.to_string());
    check.output().unwrap().status.code()
}

#[tokio::test]
async fn without_servers_a_service_lives_but_is_not_ready_and_still_ends_at_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = testbed::port::free_port().unwrap();
    let (rabbit, redis) = (
        format!("amqp://127.0.0.1:{nowhere}"),
        format!("redis://127.0.0.1:{nowhere}"),
    );
    let mut env = settings::links(&rabbit, &redis);
    let discord = format!("http://127.0.0.1:{nowhere}");
    env.extend(settings::discord(
        "sim-token",
        &discord,
        &format!("ws://127.0.0.1:{nowhere}"),
    ));
    env.extend(settings::shards(1));
    for service in Service::ALL {
        let mut process = Process::start(service, service.name(), dir.path(), &env).unwrap();
        let alive = async || {
            http::fetch(process.port(), "/livez")
                .await
                .is_ok_and(|a| a.status == 200)
        };
        testbed::wait::until("the health endpoint", READY_LIMIT, alive)
            .await
            .unwrap();
        assert!(!process.is_ready().await, "{}", service.name());
        process.stop(STOP_LIMIT).await.unwrap();
    }
}

#[test]
fn wrong_settings_are_all_named_and_secrets_masked() {
    let wrong = BTreeMap::from([
        ("BOT_TOKEN", "not-to-be-shown"),
        ("RABBIT_URL", "http://user:not-to-be-shown@example.org"),
        ("REDIS_URL", "localhost"),
        ("PROMETHEUS_PORT", "99999"),
    ]);
    let dir = tempfile::tempdir().unwrap();
    for service in Service::ALL {
        let output = Command::new(service.binary().unwrap())
            .env_clear()
            .envs(&wrong)
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // Neither a panic nor a failure later on.
        assert_eq!(output.status.code(), Some(2), "{}", service.name());
        for name in ["RABBIT_URL", "REDIS_URL", "PROMETHEUS_PORT"] {
            assert!(
                said.contains(name),
                "{} doesn't name {name}:\n{said}",
                service.name()
            );
        }
        assert!(
            said.contains("99999"),
            "{} doesn't show the value:\n{said}",
            service.name()
        );
        assert!(
            !said.contains("not-to-be-shown"),
            "{} shows a secret:\n{said}",
            service.name()
        );
    }
}

#[test]
fn help_and_version_are_there() {
    for service in Service::ALL {
        let run = |argument| {
            Command::new(service.binary().unwrap())
                .arg(argument)
                .output()
                .unwrap()
        };
        let help = String::from_utf8(run("--help").stdout).unwrap();
        assert!(help.contains("RABBIT_URL"), "{help}");
        let version = String::from_utf8(run("--version").stdout).unwrap();
        assert_eq!(
            version.trim(),
            format!("{} {}", service.name(), env!("CARGO_PKG_VERSION"))
        );
    }
}

/// A refused token is no reason to be started again at once: it has an exit code of its own, after a wait in which `/readyz` says why.
#[tokio::test]
async fn a_refused_token_ends_the_service_with_3_after_a_wait() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let sim = Sim::start(SimConfig::default()).await.unwrap();
    let mut env = settings::links(&servers.rabbitmq.url(), &servers.redis.url());
    env.extend(settings::discord(
        "another-token",
        &sim.http_url(),
        &sim.gateway_url(),
    ));
    env.extend(settings::shards(1));
    let start = |name: &str, env: &BTreeMap<String, String>| {
        Process::start(Service::GatewayIngest, name, servers.dir(), env).unwrap()
    };
    let mut process = start("at-once", &env);
    let status = process.wait_exit(READY_LIMIT).await.unwrap();
    assert_eq!(status.code(), Some(3));

    env.insert("REFUSAL_WAIT".into(), "600000".into());
    let mut process = start("waiting", &env);
    let told = async || {
        let answer = http::fetch(process.port(), "/readyz").await;
        answer.is_ok_and(|answer| answer.status == 503 && answer.body.contains("refused"))
    };
    testbed::wait::until("/readyz to name the refusal", READY_LIMIT, told)
        .await
        .unwrap();
    process.sigterm();
    let status = process.wait_exit(STOP_LIMIT).await.unwrap();
    assert_eq!(status.code(), Some(3));
}
