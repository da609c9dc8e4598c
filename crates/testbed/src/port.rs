//! Free loopback ports.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::{Context, Result};
use rand::Rng;

/// Below the range from which systems take the source ports of outgoing connections (32768 and up on Linux): a client
/// that retries a closed port of that range can end up connected to itself.
const PORTS: Range<u16> = 15_000..32_000;

/// A port on which nothing listens now. Drawn at random, so that test processes that run at once rarely meet.
///
/// # Errors
///
/// If no free port was found in 200 draws.
pub fn free_port() -> Result<u16> {
    let mut rng = rand::rng();
    (0..200)
        .map(|_| rng.random_range(PORTS))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .with_context(|| format!("no free port found in {PORTS:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_handed_out() {
        let port = free_port().unwrap();
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!((0..50).all(|_| free_port().unwrap() != port));
        drop(held);
    }
}
