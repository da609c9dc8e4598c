//! Wrong answers of REST.

use serde::{Deserialize, Serialize};

/// What REST answers to some requests instead of what it should.
///
/// In the control API: `{"route": "/gateway/bot", "status": 429, "retry_after": "5"}` …
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RestFault {
    /// Path without the version; `*` is any one segment, as in `/channels/*/messages`. Left out: every route.
    pub route: Option<String>,
    /// HTTP status. Left out: the usual answer, only later; or none at all with [`RestFault::reset`].
    pub status: Option<u16>,
    /// Time until the answer, in milliseconds.
    pub delay_ms: u64,
    /// Resets the connection instead of answering.
    pub reset: bool,
    /// Header `Retry-After`, as it is.
    pub retry_after: Option<String>,
    /// Headers `X-RateLimit-*` of an exhausted bucket.
    pub bucket_headers: bool,
    /// Body, where there is a status.
    pub body: RestBody,
    /// How many requests; left out: until it is switched off.
    pub times: Option<u32>,
}

/// The body of a wrong answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RestBody {
    /// JSON, as Discord has it for the status.
    #[default]
    Json,
    /// A page, as Cloudflare answers for Discord.
    Html,
    /// This text, as `application/json`.
    Text(String),
}

/// The wrong answers that are still to be given, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RestFaults(Vec<RestFault>);

impl RestFaults {
    pub(crate) fn add(&mut self, fault: RestFault) {
        self.0.push(fault);
        self.0.retain(|fault| fault.times != Some(0));
    }

    /// Switches all of them off.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the wrong answer to a request for `path` (without the version), if there is one.
    pub(crate) fn take(&mut self, path: &str) -> Option<RestFault> {
        let meant = |fault: &RestFault| {
            let route = fault.route.as_deref();
            route.is_none_or(|route| matches_route(route, path))
        };
        let index = self.0.iter().position(meant)?;
        let fault = self.0[index].clone();
        if let Some(left) = &mut self.0[index].times {
            *left -= 1;
            if *left == 0 {
                self.0.remove(index);
            }
        }
        Some(fault)
    }
}

fn matches_route(route: &str, path: &str) -> bool {
    let (mut route, mut path) = (segments(route), segments(path));
    loop {
        match (route.next(), path.next()) {
            (None, None) => return true,
            (Some(meant), Some(segment)) if meant == "*" || meant == segment => {}
            _ => return false,
        }
    }
}

fn segments(path: &str) -> std::str::Split<'_, char> {
    path.trim_matches('/').split('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_for_their_route_and_as_often_as_asked() {
        let mut faults = RestFaults::default();
        faults.add(RestFault {
            route: Some("/channels/*/messages".to_owned()),
            status: Some(502),
            times: Some(2),
            ..RestFault::default()
        });
        faults.add(RestFault {
            status: Some(503),
            ..RestFault::default()
        });
        let mut take = |path| faults.take(path).and_then(|fault| fault.status);
        assert_eq!(take("/gateway/bot"), Some(503));
        assert_eq!(take("/channels/1/messages"), Some(502));
        assert_eq!(take("/channels/1/messages/2"), Some(503));
        assert_eq!(take("/channels/2/messages"), Some(502));
        assert_eq!(take("/channels/1/messages"), Some(503));
        faults.clear();
        assert_eq!(faults.take("/gateway/bot"), None);
    }

    #[test]
    fn faults_read_as_documented() {
        let text = r#"{"route":"/gateway/bot","status":429,"retry_after":"5","body":"html"}"#;
        let fault: RestFault = serde_json::from_str(text).unwrap();
        assert_eq!((fault.status, fault.body), (Some(429), RestBody::Html));
        assert!(serde_json::from_str::<RestFault>(r#"{"rout":"/"}"#).is_err());
    }
}
