//! What Discord's own payloads say about the connection and its session.

use std::time::Duration;

use serde::Deserialize;

/// The heartbeat interval that HELLO (op 10) names; `None` if it can't be read.
#[must_use]
pub fn heartbeat_interval(data: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Hello {
        heartbeat_interval: u64,
    }

    let hello: Hello = serde_json::from_str(data).ok()?;
    Some(Duration::from_millis(hello.heartbeat_interval))
}

/// What READY says about the session that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ready {
    /// Discord's name for the session.
    pub session_id: String,
    /// Where to resume it; Discord may leave it out.
    #[serde(default)]
    resume_gateway_url: Option<String>,
}

impl Ready {
    /// Reads READY's data; `None` if it names no session.
    #[must_use]
    pub fn read(data: &str) -> Option<Self> {
        let ready: Self = serde_json::from_str(data).ok()?;
        (!ready.session_id.is_empty()).then_some(ready)
    }

    /// Where to resume the session; empty if READY doesn't say.
    #[must_use]
    pub fn resume_url(&self) -> &str {
        self.resume_gateway_url.as_deref().unwrap_or_default()
    }
}

/// Whether op 9 says that the session may be resumed later. What can't be read says no.
#[must_use]
pub fn resumable(data: &str) -> bool {
    data.trim() == "true"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_read() {
        let hello = r#"{"heartbeat_interval":41250,"_trace":["x"]}"#;
        assert_eq!(
            heartbeat_interval(hello),
            Some(Duration::from_millis(41_250))
        );
        assert_eq!(heartbeat_interval("{}"), None);
        assert_eq!(heartbeat_interval("null"), None);
    }

    #[test]
    fn a_ready_may_leave_the_resume_url_out() {
        let read = |data| Ready::read(data).map(|ready| ready.resume_url().to_owned());
        let whole = r#"{"v":10,"session_id":"a","resume_gateway_url":"wss://x","user":{}}"#;
        assert_eq!(read(whole).as_deref(), Some("wss://x"));
        assert_eq!(read(r#"{"session_id":"a"}"#).as_deref(), Some(""));
        let null = r#"{"resume_gateway_url":null,"session_id":"a"}"#;
        assert_eq!(read(null).as_deref(), Some(""));
        assert_eq!(read(r#"{"session_id":""}"#), None);
        assert_eq!(read(r#"{"v":10}"#), None);
    }

    #[test]
    fn op_9_says_whether() {
        assert!(resumable("true") && resumable(" true "));
        assert!(!resumable("false") && !resumable("null"));
    }
}
