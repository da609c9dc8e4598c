//! RabbitMQ and Redis as containers.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use testbed::servers::{rabbitmq_connection, redis_connection};
use testbed::wait;

/// As in docker-compose.yml, which a test compares.
const RABBITMQ: Image = Image {
    name: "rabbitmq:3.13-management",
    port: 5672,
};
const REDIS: Image = Image {
    name: "redis:7",
    port: 6379,
};
/// Longest time for a server to be up, once its image is there.
const START_LIMIT: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug)]
struct Image {
    name: &'static str,
    port: u16,
}

/// A running container. Removed when dropped.
#[derive(Debug)]
pub(super) struct Container {
    id: String,
    address: SocketAddr,
}

/// A RabbitMQ that can be used, and its URL.
pub(super) async fn rabbitmq() -> Result<(Container, String)> {
    let container = Container::start(RABBITMQ)?;
    let url = format!("amqp://guest:guest@{}/%2f", container.address);
    let up = async || rabbitmq_connection(&url, "ready?").await.is_ok();
    wait::until("RabbitMQ to start", START_LIMIT, up).await?;
    Ok((container, url))
}

/// A Redis that can be used, and its URL.
pub(super) async fn redis() -> Result<(Container, String)> {
    let container = Container::start(REDIS)?;
    let url = format!("redis://{}/", container.address);
    let up = async || redis_connection(&url).await.is_ok();
    wait::until("Redis to start", START_LIMIT, up).await?;
    Ok((container, url))
}

impl Container {
    /// On a free port of the loopback interface. The engine shows how far it is with an image that it has to fetch first.
    fn start(image: Image) -> Result<Self> {
        let published = format!("127.0.0.1::{}", image.port);
        let run = [
            "run",
            "--detach",
            "--rm",
            "--publish",
            &published,
            image.name,
        ];
        let id = docker(&run)?;
        let mut container = Self {
            id,
            address: ([127, 0, 0, 1], image.port).into(),
        };
        let port = docker(&["port", &container.id, &image.port.to_string()])?;
        container.address = address(&port).with_context(|| format!("no address in {port:?}"))?;
        Ok(container)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = docker(&["rm", "--force", "--volumes", &self.id]) {
            eprintln!("The container {} is left: {error:#}", self.id);
        }
    }
}

/// What it prints, without the line's end.
fn docker(arguments: &[&str]) -> Result<String> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("can't run docker: --docker needs a container engine and its client")?;
    if !output.status.success() {
        bail!("docker {} failed ({})", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first address that `docker port` tells.
fn address(told: &str) -> Option<SocketAddr> {
    told.lines().next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_are_those_of_the_compose_file() {
        let compose = testbed::binaries::workspace().join("docker-compose.yml");
        let compose = std::fs::read_to_string(compose).unwrap();
        for image in [RABBITMQ, REDIS] {
            assert!(
                compose
                    .lines()
                    .any(|line| line.trim() == format!("image: {}", image.name)),
                "{}",
                image.name
            );
        }
    }

    #[test]
    fn the_port_is_read_from_what_docker_prints() {
        let expected = "127.0.0.1:49153".parse().ok();
        assert_eq!(address("127.0.0.1:49153\n[::1]:49153"), expected);
        assert_eq!(address(""), None);
    }
}
