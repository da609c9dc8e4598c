//! Free loopback ports.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};
use rand::Rng;

/// Below the range from which systems take the source ports of outgoing connections (32768 and up on Linux): a client
/// that retries a closed port of that range can end up connected to itself.
const PORTS: Range<u16> = 15_000..32_000;

/// A port on which nothing listens now, and that this process hands out for the first time in thousands: whoever gets it may take
/// a while to listen. Processes that run at once begin at random places, and rarely meet.
///
/// # Errors
///
/// If no free port was found in 200 tries.
pub fn free_port() -> Result<u16> {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(rand::rng().random_range(PORTS)));
    (0..200)
        .map(|_| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            PORTS.start + next % (PORTS.end - PORTS.start)
        })
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

    #[test]
    fn no_port_is_handed_out_twice() {
        let ports: std::collections::BTreeSet<_> =
            (0..1_000).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 1_000);
    }
}
