//! The HTTP client. It asks once: whether and when to ask again is for [`super::Retry`] to say.
//!
//! Not twilight-http, which repeats a request at once after each 429 and hides the headers of what it gives up on.

use std::{
    error::Error,
    fmt, io,
    time::{Duration, SystemTime},
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    HeaderMap, Method, Request,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, crypto::ring};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use twilight_model::{
    channel::message::Embed,
    id::{Id, marker::ChannelMarker},
};

use super::{
    ApiUrl, Failure, GatewayBot, Token,
    answer::{Waits, judge},
};
use crate::tls;

/// Longest time for a request and its answer.
const LIMIT: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read; what is asked for has a few hundred.
const MOST_BYTES: usize = 1 << 20;
/// Path of the API's version that is spoken.
const API: &str = "/api/v10";
/// Discord wants a client to say who it is, in this form (Discord, "User Agent").
const AGENT: &str = concat!(
    "DiscordBot (https://github.com/chamburr/twilight-dispatch, ",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// A client of the REST API for one bot.
#[derive(Debug)]
pub struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    api: ApiUrl,
    token: Token,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

#[derive(Serialize)]
struct Message<'a> {
    embeds: &'a [Embed],
}

impl Client {
    /// A client for the API at this place.
    #[must_use]
    pub fn new(api: ApiUrl, token: Token) -> Self {
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            // Not with this provider, which has them all.
            .unwrap_or_else(|_| ClientConfig::builder())
            .with_root_certificates(tls::discord_authorities())
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = connector.https_or_http().enable_http1().build();
        Self {
            http: HyperClient::builder(TokioExecutor::new()).build(connector),
            api,
            token,
        }
    }

    /// What Discord recommends and allows (`GET /gateway/bot`).
    ///
    /// # Errors
    ///
    /// Whatever is no usable answer.
    pub async fn gateway_bot(&self) -> Result<GatewayBot, Failure> {
        let (body, _) = self.call(Method::GET, "/gateway/bot", Bytes::new()).await?;
        GatewayBot::parse(&body)
    }

    /// The id of the bot's user (`GET /users/@me`).
    ///
    /// # Errors
    ///
    /// Whatever is no usable answer.
    pub async fn current_user(&self) -> Result<u64, Failure> {
        let (body, _) = self.call(Method::GET, "/users/@me", Bytes::new()).await?;
        let malformed = |error: &dyn fmt::Display| Failure::Malformed(error.to_string());
        let user: User = serde_json::from_str(&body).map_err(|error| malformed(&error))?;
        user.id.parse().map_err(|error| malformed(&error))
    }

    /// Posts a message with one embed. Returns the pause that is due before the next one, if any.
    ///
    /// # Errors
    ///
    /// Whatever is no success.
    pub async fn create_message(
        &self,
        channel: Id<ChannelMarker>,
        embed: Embed,
    ) -> Result<Option<Duration>, Failure> {
        let message = Message { embeds: &[embed] };
        let body =
            serde_json::to_vec(&message).map_err(|error| Failure::Malformed(error.to_string()))?;
        let path = format!("/channels/{channel}/messages");
        let (_, pause) = self.call(Method::POST, &path, body.into()).await?;
        Ok(pause)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(String, Option<Duration>), Failure> {
        match timeout(LIMIT, self.exchange(method, path, body)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Unreachable(format!(
                "no answer within {} s",
                LIMIT.as_secs()
            ))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(String, Option<Duration>), Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{API}{path}", self.api.as_str()))
            .header(USER_AGENT, AGENT)
            .header(AUTHORIZATION, format!("Bot {}", self.token.reveal()))
            .body(Full::new(body))
            .map_err(|error| Failure::Unreachable(format!("no such request: {error}")))?;
        if request.method() == Method::POST {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        let unreachable = |error: &(dyn Error + 'static)| Failure::Unreachable(cause(error));
        let answer = self.http.request(request).await;
        let answer = answer.map_err(|error| unreachable(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await;
        let body = body.map_err(|error| unreachable(error.as_ref()))?;
        // An answer that quotes the request must not bring the token into a log.
        let body = String::from_utf8_lossy(&body.to_bytes()).replace(self.token.reveal(), "***");
        let header = |name: &str| text(&head.headers, name);
        let waits = Waits {
            retry_after: header(RETRY_AFTER.as_str()),
            remaining: header("x-ratelimit-remaining"),
            reset_after: header("x-ratelimit-reset-after"),
            now: SystemTime::now(),
        };
        let pause = judge(head.status.as_u16(), waits, &body)?;
        Ok((body, pause))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What kept a request from being answered: its kind in front, for who reads the log, then the client's own words.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut words = Vec::new();
    let mut kind = "the connection failed";
    let mut next = Some(error);
    while let Some(error) = next {
        let said = error.to_string();
        if said.contains("dns error") {
            kind = "the name can't be resolved";
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            kind = io_kind(io).unwrap_or(kind);
        }
        if words.last() != Some(&said) {
            words.push(said);
        }
        next = error.source();
    }
    format!("{kind}: {}", words.join(": "))
}

fn io_kind(error: &io::Error) -> Option<&'static str> {
    if let Some(inner) = error.get_ref() {
        if inner.is::<rustls::Error>() {
            return Some("TLS failed");
        }
        if let Some(kind) = inner.downcast_ref().and_then(io_kind) {
            return Some(kind);
        }
    }
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection is refused",
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => "the connection was cut",
        io::ErrorKind::TimedOut => "the connection timed out",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the host can't be reached"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Reader;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    const TOKEN: &str = "MT.secret";

    fn client(api: &str) -> Client {
        let mut reader = Reader::of([("BOT_TOKEN", TOKEN), ("DISCORD_API_URL", api)]);
        let api = ApiUrl::read(&mut reader).unwrap();
        Client::new(api, Token::read(&mut reader).unwrap())
    }

    /// A server that answers each connection's first request with `answer`, in which `REQUEST` stands for the request's head.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = Vec::new();
                let is_tls = |request: &[u8]| request.first() == Some(&0x16);
                while !request.windows(4).any(|end| end == b"\r\n\r\n") && !is_tls(&request) {
                    if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let _ = socket
                    .write_all(answer.replace("REQUEST", &request).as_bytes())
                    .await;
            }
        });
        format!("http://{address}")
    }

    async fn asked(answer: &'static str) -> Result<GatewayBot, Failure> {
        client(&server(answer).await).gateway_bot().await
    }

    #[tokio::test]
    async fn answers_are_read_with_their_headers() {
        let limited = asked("HTTP/1.1 429 x\r\nretry-after: 82000\r\n\r\n<html>1015</html>").await;
        assert!(matches!(
            limited,
            Err(Failure::Limited { retry_after: Some(after), .. }) if after.as_secs() == 82_000
        ));
        let info = asked(concat!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
            r#"{"url":"ws://x","shards":2,"session_start_limit":"#,
            r#"{"total":5,"remaining":4,"reset_after":1,"max_concurrency":1}}"#
        ));
        assert_eq!(info.await.unwrap().shards, 2);
        let html = asked("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>").await;
        assert!(matches!(html, Err(Failure::Malformed(_))));
    }

    #[tokio::test]
    async fn no_failure_tells_the_token() {
        for answer in [
            "HTTP/1.1 404 x\r\nconnection: close\r\n\r\nREQUEST",
            "HTTP/1.1 200 x\r\nconnection: close\r\n\r\nREQUEST",
        ] {
            let failure = asked(answer).await.unwrap_err();
            let said = format!("{failure} {failure:?}");
            assert!(!said.contains(TOKEN), "{said}");
        }
        assert!(!format!("{:?}", client("http://localhost")).contains(TOKEN));
    }

    #[tokio::test]
    async fn causes_are_told_apart() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nowhere = free.local_addr().unwrap();
        drop(free);
        let plain = server("HTTP/1.1 200 OK\r\n\r\n").await;
        let tls = plain.replace("http://", "https://");
        for (api, kind) in [
            (format!("http://{nowhere}"), "the connection is refused"),
            (
                "http://no-such-host.invalid".to_owned(),
                "the name can't be resolved",
            ),
            (tls, "TLS failed"),
            (server("").await, "the connection"),
        ] {
            let failure = client(&api).gateway_bot().await.unwrap_err();
            assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
            assert!(failure.to_string().starts_with(kind), "{failure}");
        }
    }
}
