//! The `state_*` gauges: the sizes of the cache, cheap at any size.

use std::{sync::Arc, time::Duration};

use dispatch_service::clock::unix_millis;
use redis::{RedisError, cmd};
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::{
    config::Config,
    core::layout::index::{COUNTS_KEY, counts},
    metrics,
};

/// One small read each.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the gauges right until `stop`. While Redis is away they keep their last values.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(INTERVAL);
    while stop.run_until_cancelled(interval.tick()).await.is_some() {
        let update = update(&shared.config);
        if let Some(Err(error)) = stop.run_until_cancelled(update).await {
            tracing::debug!(%error, "state gauges could not be read");
        }
    }
}

async fn update(config: &Config) -> Result<(), RedisError> {
    let counts_key = config.namespace.name(COUNTS_KEY);
    let mut connection = config.redis.connection().await?;
    let fields: Vec<(String, i64)> = cmd("HGETALL")
        .arg(&counts_key)
        .query_async(&mut connection)
        .await?;
    let counts = counts(
        fields.iter().map(|(field, count)| (field.as_str(), *count)),
        unix_millis(),
    );
    for (family, count) in counts.families {
        metrics::cached(family, count);
    }
    if !counts.stale.is_empty() {
        cmd("HDEL")
            .arg(&counts_key)
            .arg(counts.stale)
            .exec_async(&mut connection)
            .await?;
    }
    Ok(())
}
