//! Discord's REST API.

use dispatch_service::backoff::Backoff;
use tokio_util::sync::CancellationToken;
use twilight_http::{Client, Error, error::ErrorType};
use twilight_model::gateway::connection_info::BotConnectionInfo;

use crate::error::IngestError;

/// What Discord recommends and allows (`/gateway/bot`); asked again until it answers. `None` if `stop` comes first.
///
/// # Errors
///
/// If Discord refuses the token.
pub(crate) async fn gateway(
    client: &Client,
    stop: &CancellationToken,
) -> Result<Option<BotConnectionInfo>, IngestError> {
    let mut backoff = Backoff::default();
    loop {
        let Some(answer) = stop.run_until_cancelled(ask(client)).await else {
            return Ok(None);
        };
        let problem = match answer {
            Ok(info) => return Ok(Some(info)),
            Err(Refusal::Token(status)) => return Err(IngestError::Unauthorized(status)),
            Err(Refusal::Other(problem)) => problem,
        };
        let delay = backoff.next_delay();
        tracing::warn!(
            problem,
            retry_in_ms = delay.as_millis(),
            "cannot ask discord for its gateway"
        );
        stop.run_until_cancelled(tokio::time::sleep(delay)).await;
    }
}

enum Refusal {
    Token(u16),
    Other(String),
}

async fn ask(client: &Client) -> Result<BotConnectionInfo, Refusal> {
    let response = client.gateway().authed().await.map_err(refusal)?;
    let info = response.model().await;
    info.map_err(|error| Refusal::Other(error.to_string()))
}

fn refusal(error: Error) -> Refusal {
    match error.kind() {
        ErrorType::Unauthorized => Refusal::Token(401),
        ErrorType::Response { status, .. } if matches!(status.get(), 401 | 403) => {
            Refusal::Token(status.get())
        }
        _ => Refusal::Other(format!("{error}")),
    }
}
