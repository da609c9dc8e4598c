//! Events on the Spectacles exchange.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use dispatch_proto::codec::Encoding;
use dispatch_proto::rabbit::{HEADER_SEQ, HEADER_SHARD};
use serde_json::Value;
use testbed::collector::check::Expected;

use crate::spectacles::client::{Client, EXCHANGE, SUBGROUP, decode, events, queue};

type Sent = BTreeMap<u32, Vec<Expected>>;

/// Each queue holds its event's `d`, as Discord sent it, in each shard's order, and nothing else.
pub(crate) async fn check(client: &Client, sent: &Sent, encoding: Encoding) -> Result<usize> {
    let mut kinds = 0;
    for event in events() {
        kinds += usize::from(check_queue(client, &queue(event), event, sent, encoding).await?);
    }
    let of_group = format!("{EXCHANGE}:{SUBGROUP}:MESSAGE_CREATE");
    check_queue(client, &of_group, "MESSAGE_CREATE", sent, encoding).await?;
    Ok(kinds)
}

/// Whether there were any.
async fn check_queue(
    client: &Client,
    queue: &str,
    event: &str,
    sent: &Sent,
    encoding: Encoding,
) -> Result<bool> {
    let mut expected: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    let mut count = 0;
    for (shard, sent) in sent {
        for sent in sent.iter().filter(|sent| sent.name == event) {
            let data = serde_json::from_str(&sent.data).context("what was sent")?;
            let of_shard = expected.entry(shard.to_string()).or_default();
            of_shard.push((sent.seq.to_string(), data));
            count += 1;
        }
    }
    let mut received: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    for message in client.drain(queue, count).await? {
        let data = decode(&message, encoding).with_context(|| queue.to_owned())?;
        let of_shard = received.entry(message.header(HEADER_SHARD).to_owned());
        let seq = message.header(HEADER_SEQ).to_owned();
        of_shard.or_default().push((seq, data));
    }
    for (shard, expected) in &expected {
        let received = received.get(shard).map_or(&[][..], Vec::as_slice);
        let differing = expected
            .iter()
            .zip(received)
            .find(|(sent, got)| sent != got);
        ensure!(differing.is_none(), "{queue}, shard {shard}: {differing:?}");
        ensure!(expected.len() == received.len(), "{queue}, shard {shard}");
    }
    Ok(count > 0)
}
