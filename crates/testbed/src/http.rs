//! The little HTTP that health checks, metrics and the simulator's control need: one request on the loopback interface.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest time for one request.
const LIMIT: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body, as text.
    pub body: String,
}

/// GETs `path` from 127.0.0.1:`port`.
///
/// # Errors
///
/// If there is no answer within five seconds, or it is not HTTP.
pub async fn fetch(port: u16, path: &str) -> Result<Answer> {
    request("GET", port, path, "").await
}

/// POSTs `body`, JSON, to `path` at 127.0.0.1:`port`.
///
/// # Errors
///
/// As [`fetch`].
pub async fn post(port: u16, path: &str, body: &str) -> Result<Answer> {
    request("POST", port, path, body).await
}

/// DELETEs `path` at 127.0.0.1:`port`.
///
/// # Errors
///
/// As [`fetch`].
pub async fn delete(port: u16, path: &str) -> Result<Answer> {
    request("DELETE", port, path, "").await
}

/// The port of a URL on this machine.
///
/// # Errors
///
/// If it names none.
pub fn port(url: &str) -> Result<u16> {
    let port = url.rsplit(':').next().unwrap_or_default();
    let port = port.trim_end_matches('/').parse();
    port.with_context(|| format!("no port in {url}"))
}

async fn request(method: &str, port: u16, path: &str, body: &str) -> Result<Answer> {
    tokio::time::timeout(LIMIT, exchange(method, port, path, body))
        .await
        .with_context(|| format!("no answer from port {port} to {method} {path}"))?
}

/// HTTP/1.0, so that the answer is neither chunked nor the connection kept.
async fn exchange(method: &str, port: u16, path: &str, body: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    parse(&String::from_utf8_lossy(&answer)).context("the answer is not HTTP")
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Answer {
        status: status.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_split_into_status_and_body() {
        let answer =
            parse("HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nno\r\n\r\nyes").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (503, "no\r\n\r\nyes")
        );
        assert_eq!(parse("AMQP\0\0\x09\x01"), None);
    }
}
