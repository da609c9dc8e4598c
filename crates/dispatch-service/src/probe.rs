//! Asks a running service for its health: what `healthcheck` does, so that an image needs no shell and no HTTP client.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use thiserror::Error;

/// Shorter than the limit that Docker and Kubernetes give a check.
const LIMIT: Duration = Duration::from_secs(2);
/// What is read of an answer: the status, and what `/readyz` says is missing.
const LONGEST: u64 = 4096;

/// Why a service counts as unhealthy.
#[derive(Debug, Error)]
pub(crate) enum ProbeError {
    #[error("cannot ask {address}: {source}")]
    Unreachable {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("{0}")]
    Unhealthy(String),
}

/// Asks the service at `address` for `path`.
///
/// # Errors
///
/// If it does not answer within 2 s, or not with 200.
pub(crate) fn ask(address: SocketAddr, path: &str) -> Result<(), ProbeError> {
    let address = reachable(address);
    let answer =
        fetch(address, path).map_err(|source| ProbeError::Unreachable { address, source })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1);
    if status == Some("200") {
        return Ok(());
    }
    let status = head.lines().next().unwrap_or("no answer");
    Err(ProbeError::Unhealthy(format!("{status}: {}", body.trim())))
}

fn fetch(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A service that listens on every address is asked on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one request, and returns where.
    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn only_200_is_healthy() {
        let address = server("HTTP/1.1 200 OK\r\n\r\nready\n");
        assert!(ask(address, "/readyz").is_ok());
        let address = server("HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: redis\n");
        let error = ask(address, "/readyz").unwrap_err().to_string();
        assert_eq!(error, "HTTP/1.1 503 Service Unavailable: not ready: redis");
        let address = server("");
        assert!(ask(address, "/readyz").is_err());
    }

    #[test]
    fn nobody_there_is_unhealthy() {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert!(matches!(
            ask(address, "/readyz"),
            Err(ProbeError::Unreachable { .. })
        ));
    }

    #[test]
    fn every_address_is_asked_on_loopback() {
        let asked = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8005"), "127.0.0.1:8005");
        assert_eq!(asked("[::]:8005"), "[::1]:8005");
        assert_eq!(asked("10.0.0.7:8005"), "10.0.0.7:8005");
    }
}
