//! Who came: the gateway connections and REST requests that were made, with their times.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use crate::faults::Host;

/// Connections and requests kept; of older ones only the number is known.
const KEPT: usize = 20_000;

/// Bytes of requests' bodies kept.
const BYTES_KEPT: usize = 32 * 1024 * 1024;

/// Routes counted by name.
const ROUTES: usize = 200;

/// A gateway connection that a client made, served or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionMade {
    /// When its upgrade request was there.
    pub at: Instant,
    /// The address that it was made to.
    pub host: Host,
    /// What the client asked for first.
    pub asked: Option<Asked>,
    /// For which shard. A RESUME of a session that is not known names none.
    pub shard: Option<u32>,
}

/// How a client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// With IDENTIFY.
    Identify,
    /// With RESUME.
    Resume,
}

/// A REST request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestRequest {
    /// When it was there.
    pub at: Instant,
    /// Method and path without the version, `GET /gateway/bot`.
    pub route: String,
    /// The status of the answer; `None` = the connection was reset instead.
    pub status: Option<u16>,
    /// Its body, the first 64 KiB. Of a form, the JSON in it, with `files`: their names.
    pub body: String,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    connections: VecDeque<ConnectionMade>,
    made: u64,
    requests: VecDeque<RestRequest>,
    /// Bytes of their bodies.
    shown: usize,
    requested: u64,
    routes: BTreeMap<String, u64>,
}

/// Names a connection that was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionNumber(u64);

impl Traffic {
    pub(crate) fn connected(&mut self, at: Instant, host: Host) -> ConnectionNumber {
        push(
            &mut self.connections,
            ConnectionMade {
                at,
                host,
                asked: None,
                shard: None,
            },
        );
        self.made += 1;
        ConnectionNumber(self.made)
    }

    /// Notes what the client has asked for first.
    pub(crate) fn asked(&mut self, number: ConnectionNumber, asked: Asked, shard: Option<u32>) {
        let age = usize::try_from(self.made - number.0).unwrap_or(usize::MAX);
        let index = self.connections.len().checked_sub(age + 1);
        let connection = index.and_then(|index| self.connections.get_mut(index));
        if let Some(connection) = connection.filter(|made| made.asked.is_none()) {
            (connection.asked, connection.shard) = (Some(asked), shard);
        }
    }

    pub(crate) fn requested(&mut self, request: RestRequest) {
        if let Some(count) = self.routes.get_mut(&request.route) {
            *count += 1;
        } else {
            let full = self.routes.len() >= ROUTES;
            let route = if full { "other" } else { &request.route };
            *self.routes.entry(route.to_owned()).or_default() += 1;
        }
        self.requested += 1;
        self.shown += request.body.len();
        self.requests.push_back(request);
        while self.requests.len() > KEPT || self.shown > BYTES_KEPT {
            let Some(oldest) = self.requests.pop_front() else {
                break;
            };
            self.shown -= oldest.body.len();
        }
    }

    /// The last 20,000 connections, oldest first.
    pub(crate) fn connections(&self) -> impl Iterator<Item = &ConnectionMade> {
        self.connections.iter()
    }

    /// How many connections were made.
    pub(crate) fn connections_made(&self) -> u64 {
        self.made
    }

    /// The last 20,000 requests, oldest first.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &RestRequest> {
        self.requests.iter()
    }

    /// How many requests were made.
    pub(crate) fn requests_made(&self) -> u64 {
        self.requested
    }

    /// The requests after the first `made`, as far as they are kept.
    pub(crate) fn requests_after(&self, made: u64) -> impl Iterator<Item = &RestRequest> {
        let new = usize::try_from(self.requested - made).unwrap_or(usize::MAX);
        let skipped = self.requests.len().saturating_sub(new);
        self.requests.iter().skip(skipped)
    }

    /// How many requests there were for each route.
    pub(crate) fn routes(&self) -> &BTreeMap<String, u64> {
        &self.routes
    }
}

fn push<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_again_until_it_is_forgotten() {
        let (now, mut traffic) = (Instant::now(), Traffic::default());
        let first = traffic.connected(now, Host::Main);
        let second = traffic.connected(now, Host::Resume);
        traffic.asked(first, Asked::Resume, None);
        traffic.asked(first, Asked::Identify, Some(3));
        let asked = |traffic: &Traffic| traffic.connections().next().unwrap().asked;
        assert_eq!(asked(&traffic), Some(Asked::Resume));
        for _ in 0..KEPT - 1 {
            traffic.connected(now, Host::Main);
        }
        traffic.asked(first, Asked::Identify, None);
        assert_eq!(asked(&traffic), None);
        traffic.asked(second, Asked::Identify, None);
        assert_eq!(asked(&traffic), Some(Asked::Identify));
        assert_eq!(traffic.connections_made(), KEPT as u64 + 1);
    }

    fn request(route: &str, body: String) -> RestRequest {
        RestRequest {
            at: Instant::now(),
            route: route.to_owned(),
            status: Some(200),
            body,
        }
    }

    #[test]
    fn requests_are_kept_up_to_so_many_bytes() {
        let mut traffic = Traffic::default();
        let body = "x".repeat(BYTES_KEPT / 4);
        for _ in 0..6 {
            traffic.requested(request("POST /big", body.clone()));
        }
        assert_eq!(traffic.requests().count(), 4);
        traffic.requested(request("POST /small", String::new()));
        assert_eq!(traffic.requests_made(), 7);
        let routes = |made| traffic.requests_after(made).map(|r| r.route.as_str());
        assert_eq!(routes(6).collect::<Vec<_>>(), ["POST /small"]);
        assert_eq!((routes(7).count(), routes(0).count()), (0, 5));
    }

    #[test]
    fn routes_are_counted_up_to_a_bound() {
        let mut traffic = Traffic::default();
        for n in 0..=ROUTES {
            let request = request(&format!("GET /{n}"), String::new());
            traffic.requested(request.clone());
            traffic.requested(request);
        }
        assert_eq!(traffic.routes().len(), ROUTES + 1);
        assert_eq!(traffic.routes()["GET /0"], 2);
        assert_eq!(traffic.routes()["other"], 2);
    }
}
