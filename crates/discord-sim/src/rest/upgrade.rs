//! The gateway on a connection that has served REST before: some clients use theirs again.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    },
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};

use super::refusal::Refusal;
use crate::{
    faults::Answer,
    gateway,
    state::{Peer, Shared},
    stream::PeekedStream,
};

/// What RFC 6455 mixes into the key.
const ACCEPT_SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request asks for a WebSocket.
pub(super) fn is_wanted(request: &Request) -> bool {
    let upgrade = request.headers().get(UPGRADE);
    let upgrade = upgrade.and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Answers the upgrade; a task of its own then serves the gateway.
pub(super) async fn answer(shared: Arc<Shared>, peer: Peer, mut request: Request) -> Response {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).cloned() else {
        return Refusal::bad(0, "400: Bad Request").into_response();
    };
    let number = match gateway::arrive(&shared, peer.host) {
        Ok(number) => number,
        Err(Answer::Http(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            return status.into_response();
        }
        Err(Answer::Ignore | Answer::Silence) => {
            gateway::forget(&shared, &peer.cut).await;
            return StatusCode::BAD_GATEWAY.into_response();
        }
        Err(_) => {
            peer.cut.reset();
            return StatusCode::BAD_GATEWAY.into_response();
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let query = request.uri().query().unwrap_or_default().to_owned();
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%error, "upgrade failed"),
        };
        match downcast::<TokioIo<PeekedStream>>(upgraded) {
            Ok(parts) => {
                let mut stream = parts.io.into_inner();
                stream.unread(&parts.read_buf);
                gateway::serve_upgraded(shared, stream, number, &query).await;
            }
            Err(_) => tracing::error!("an upgraded connection is not what it was"),
        }
    });
    let headers = [
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, accepted(key.as_bytes())),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn accepted(key: &[u8]) -> HeaderValue {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(ACCEPT_SALT.as_bytes());
    let text = STANDARD.encode(hash.digest().bytes());
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::accepted;

    #[test]
    fn the_key_is_accepted_as_the_rfc_shows() {
        let accepted = accepted(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accepted, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
