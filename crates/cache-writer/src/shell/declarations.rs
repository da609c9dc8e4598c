//! The exchanges and queues that the service uses.

use std::ops::Range;

use dispatch_proto::rabbit::RAW_EXCHANGE;
use dispatch_service::topology;
use lapin::{Channel, ExchangeKind};

use crate::config::Config;

/// Declares them all, with the queues of these partitions.
pub(super) async fn declare(
    channel: &Channel,
    config: &Config,
    partitions: Range<u32>,
) -> lapin::Result<()> {
    let namespace = &config.namespace;
    topology::declare_events(channel, namespace, config.default_queue).await?;
    let raw = namespace.name(RAW_EXCHANGE);
    topology::declare_exchange(channel, &raw, ExchangeKind::Direct).await?;
    for partition in partitions {
        topology::declare_raw_queue(channel, namespace, partition, config.queue_type).await?;
    }
    topology::declare_dead(channel, namespace).await?;
    if let Some(spectacles) = &config.spectacles {
        topology::declare_exchange(channel, &spectacles.exchange, ExchangeKind::Direct).await?;
    }
    Ok(())
}
