//! What Discord's REST API is asked for.

use dispatch_service::discord::{Client, Failure, GatewayBot, Retry};
use tokio_util::sync::CancellationToken;

use crate::error::IngestError;

/// What Discord recommends and allows (`/gateway/bot`); asked again until it answers. `None` if `stop` comes first.
///
/// # Errors
///
/// If Discord refuses the token.
pub(crate) async fn gateway(
    client: &Client,
    stop: &CancellationToken,
) -> Result<Option<GatewayBot>, IngestError> {
    let mut retry = Retry::default();
    loop {
        let Some(answer) = stop.run_until_cancelled(client.gateway_bot()).await else {
            return Ok(None);
        };
        let failure = match answer {
            Ok(info) => return Ok(Some(info)),
            Err(Failure::Token(status)) => return Err(IngestError::Unauthorized(status)),
            Err(failure) => failure,
        };
        let pause = retry.pause(&failure, fastrand::f64());
        tracing::warn!(
            %failure,
            retry_in_s = pause.as_secs_f64(),
            "cannot ask discord for its gateway"
        );
        let paused = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        if paused.is_none() {
            return Ok(None);
        }
    }
}
