//! Wrong answers of REST, and what is noted of requests.

use std::time::{Duration, Instant};

use discord_sim::{RestBody, RestFault, Sim};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    config,
    http::{get, post, request},
    start,
};

/// The whole answer to `GET path`; empty if the connection was reset.
async fn raw(sim: &Sim, path: &str) -> String {
    let url = sim.http_url();
    let mut tcp = TcpStream::connect(url.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bot sim-token\r\n\r\n"
    );
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    match tcp.read_to_string(&mut answer).await {
        Ok(_) => answer.to_lowercase(),
        Err(_) => String::new(),
    }
}

const BOT: &str = "/api/v10/gateway/bot";

#[tokio::test]
async fn a_route_answers_429_with_and_without_bucket_headers() {
    let sim = start(config()).await;
    let limited = RestFault {
        route: Some("/gateway/bot".to_owned()),
        status: Some(429),
        retry_after: Some("2.5".to_owned()),
        times: Some(1),
        ..RestFault::default()
    };
    sim.rest_fault(limited.clone());
    sim.rest_fault(RestFault {
        bucket_headers: true,
        ..limited.clone()
    });
    sim.rest_fault(RestFault {
        retry_after: None,
        body: RestBody::Html,
        ..limited
    });
    assert_eq!(get(&sim.http_url(), "/gateway").await.0, 200);
    let answer = raw(&sim, BOT).await;
    assert!(answer.starts_with("http/1.1 429"), "{answer}");
    assert!(answer.contains("retry-after: 2.5\r\n"), "{answer}");
    assert!(!answer.contains("x-ratelimit"), "{answer}");
    assert!(answer.contains(r#""retry_after":2.5"#), "{answer}");
    let answer = raw(&sim, BOT).await;
    assert!(
        answer.contains("x-ratelimit-reset-after: 2.500\r\n"),
        "{answer}"
    );
    assert!(answer.contains("x-ratelimit-remaining: 0\r\n"), "{answer}");
    let answer = raw(&sim, BOT).await;
    assert!(!answer.contains("retry-after"), "{answer}");
    assert!(answer.contains("text/html"), "{answer}");
    assert!(raw(&sim, BOT).await.starts_with("http/1.1 200"));

    let statuses: Vec<_> = sim
        .rest_requests()
        .into_iter()
        .filter(|request| request.route == "GET /gateway/bot")
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [Some(429), Some(429), Some(429), Some(200)]);
    assert_eq!(sim.status().rest_requests["GET /gateway/bot"], 4);
}

#[tokio::test]
async fn rest_can_be_slow_and_can_reset() {
    let sim = start(config()).await;
    sim.rest_fault(RestFault {
        delay_ms: 300,
        times: Some(1),
        ..RestFault::default()
    });
    let start = Instant::now();
    assert!(raw(&sim, BOT).await.starts_with("http/1.1 200"));
    assert!(start.elapsed() >= Duration::from_millis(300));
    sim.rest_fault(RestFault {
        reset: true,
        ..RestFault::default()
    });
    assert_eq!(raw(&sim, BOT).await, "");
    assert_eq!(sim.rest_requests().last().unwrap().status, None);
    sim.rest_normally();
    assert!(raw(&sim, BOT).await.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn the_control_api_has_them_too() {
    let sim = start(config()).await;
    let base = sim.http_url();
    let fault = json!({"route": "/gateway", "status": 503, "body": {"text": "{"}});
    assert_eq!(post(&base, "/sim/rest", &fault).await.0, 204);
    assert_eq!(get(&base, "/gateway").await.0, 503);
    assert_eq!(
        request(&base, "DELETE", "/sim/rest", None, None).await.0,
        204
    );
    assert_eq!(get(&base, "/gateway").await.0, 200);
    let (_, requests) = get(&base, "/sim/requests").await;
    assert_eq!(requests[0]["route"], "GET /gateway");
    assert_eq!(requests[0]["status"], 503);
    assert_eq!(requests[1]["status"], 200);
    let odd = json!({"rout": "/gateway"});
    assert_eq!(post(&base, "/sim/rest", &odd).await.0, 422);
    let (_, connections) = get(&base, "/sim/connections").await;
    assert_eq!(connections, json!([]));
}
