//! A channel whose failure is nobody else's: opened again when it is needed.

use std::sync::{Arc, Mutex, PoisonError};

use dispatch_service::amqp::Publisher;
use lapin::Connection;

/// A channel to publish on, apart from that of the commands.
#[derive(Debug)]
pub(crate) struct SideChannel {
    connection: Arc<Connection>,
    publisher: Mutex<Option<Publisher>>,
}

impl SideChannel {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            publisher: Mutex::default(),
        }
    }

    /// Whether the connection lives, whatever became of the channel.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// The channel, or a new one if that has failed.
    pub(crate) async fn publisher(&self) -> lapin::Result<Publisher> {
        let known = self.known().clone();
        if let Some(publisher) = known.filter(|publisher| publisher.channel().status().connected())
        {
            return Ok(publisher);
        }
        let publisher = Publisher::open(&self.connection).await?;
        *self.known() = Some(publisher.clone());
        Ok(publisher)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Publisher>> {
        self.publisher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
