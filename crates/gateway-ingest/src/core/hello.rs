//! What Discord says first on a connection.

use std::time::Duration;

use serde::Deserialize;

/// The heartbeat interval that an op 10 payload names; `None` if it can't be read.
#[must_use]
pub fn heartbeat_interval(payload: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Payload {
        d: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        heartbeat_interval: u64,
    }

    let Payload { d } = serde_json::from_str(payload).ok()?;
    Some(Duration::from_millis(d.heartbeat_interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_read() {
        let hello =
            r#"{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":41250,"_trace":["x"]}}"#;
        assert_eq!(
            heartbeat_interval(hello),
            Some(Duration::from_millis(41_250))
        );
        assert_eq!(heartbeat_interval(r#"{"op":10,"d":{}}"#), None);
    }
}
