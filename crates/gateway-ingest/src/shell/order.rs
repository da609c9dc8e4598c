//! What a shard's task is told by who decides which shards run here.

use std::sync::Arc;

use lapin::Connection;

/// What the shard's task is to do.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The connection that holds the shard's lock.
    pub(crate) right: Option<Arc<Connection>>,
    pub(crate) stay: Stay,
}

/// Whether the shard stays in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// It does.
    Yes,
    /// It ends, in order.
    Release,
    /// Another process owns it: it ends at once.
    LetGo,
}
