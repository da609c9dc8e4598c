//! The right to publish a shard's frames, and the session that the shard begins with.

use std::sync::Arc;

use dispatch_proto::session::SessionRecord;

use super::Task;
use crate::{
    core::{
        connection::{Input, Session},
        gateway_url,
        status::ShardEvent,
    },
    error::IngestError,
    shell::{
        commands,
        order::{Order, Stay},
    },
};

impl Task {
    /// Takes in what is to be done; says whether the shard stays.
    pub(super) fn ordered(&mut self, order: Order) -> Result<Stay, IngestError> {
        let same = match (&self.claim, &order.right) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.context.publishers.release(self.number);
            self.claim = order.right;
            if let Some(connection) = &self.claim {
                self.context.publishers.own(self.number, connection);
                self.happened(Input::Owned)?;
            }
        }
        Ok(order.stay)
    }

    pub(super) fn begin(&mut self, record: Option<SessionRecord>) -> Result<(), IngestError> {
        let shard = self.number;
        self.queue.consumer = Some(commands::consume(self.context.clone(), shard));
        let session = record.map(|record| {
            let session = Session {
                id: record.session_id.as_str().into(),
                sequence: record.sequence,
                url: gateway_url::usable(&record.resume_url),
            };
            tracing::info!(
                shard,
                session = record.session_id,
                sequence = record.sequence,
                "resuming"
            );
            self.context.table.begin(record);
            session
        });
        if session.is_none() {
            tracing::info!(shard, "no session to resume");
        }
        self.tell(ShardEvent::Connecting);
        self.happened(Input::Begin(session))
    }
}
