//! A few lines of HTTP/1.1, enough to see status and body.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends one request; returns status and JSON body (`Null` where there is none).
pub(crate) async fn request(
    base: &str,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&str>,
) -> (u16, Value) {
    let address = base.trim_start_matches("http://");
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let authorization = token
        .map(|t| format!("Authorization: {t}\r\n"))
        .unwrap_or_default();
    let body = body.unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{authorization}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // In two parts, so that the head arrives in pieces.
    let (first, second) = head.as_bytes().split_at(20);
    tcp.write_all(first).await.unwrap();
    tcp.flush().await.unwrap();
    tcp.write_all(second).await.unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// A GET without a token.
pub(crate) async fn get(base: &str, path: &str) -> (u16, Value) {
    request(base, "GET", path, None, None).await
}

/// A POST without a token.
pub(crate) async fn post(base: &str, path: &str, body: &Value) -> (u16, Value) {
    request(base, "POST", path, None, Some(&body.to_string())).await
}
