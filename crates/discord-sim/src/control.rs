//! The control API: the powers of the handle, over HTTP, as JSON under `/sim`.
//!
//! It has no authentication: let the simulator listen on loopback only.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    dispatcher::SentEvent,
    faults::{Fault, RestFault, Scope},
    generator::Mix,
    load::{self, Load},
    state::{self, ConnectionMade, RestRequest, Shared, Status},
    world::Action,
};

/// Events in one answer of `GET /sim/sent`, unless less is asked for.
const PAGE: usize = 1_000;

/// The routes.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/sim/status", get(status))
        .route("/sim/truth", get(truth))
        .route("/sim/truth/{key}", get(truth_of))
        .route("/sim/sent", get(sent))
        .route("/sim/commands", get(commands))
        .route("/sim/fault", post(fault))
        .route("/sim/rest", post(rest_fault).delete(rest_normally))
        .route("/sim/connections", get(connections))
        .route("/sim/requests", get(requests))
        .route("/sim/inject", post(inject))
        .route("/sim/act", post(act))
        .route("/sim/load", post(start_load).delete(stop_load))
}

type Shares = State<Arc<Shared>>;

async fn status(State(shared): Shares) -> Json<Status> {
    Json(Status::of(&shared))
}

#[derive(Debug, Deserialize)]
struct Prefix {
    #[serde(default)]
    prefix: String,
}

async fn truth(
    State(shared): Shares,
    Query(query): Query<Prefix>,
) -> Json<BTreeMap<String, Value>> {
    let mut entries = BTreeMap::new();
    for (key, value) in shared.lock().dispatcher.truth() {
        if key.starts_with(&query.prefix) {
            // As for `Sim::truth`: the first shard's counts.
            entries
                .entry(key.to_owned())
                .or_insert_with(|| value.clone());
        }
    }
    Json(entries)
}

async fn truth_of(State(shared): Shares, Path(key): Path<String>) -> Response {
    match shared.lock().dispatcher.truth_of(&key) {
        Some(value) => Json(value).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    shard: u32,
    #[serde(default)]
    after: usize,
    limit: Option<usize>,
}

/// A [`SentEvent`] as JSON, in the answer to `/sim/sent`.
#[derive(Debug, Deserialize, Serialize)]
pub struct SentBody {
    /// Its place among the events of the shard.
    pub index: usize,
    /// Session.
    pub session: String,
    /// Sequence in it.
    pub seq: u64,
    /// Name.
    pub t: String,
    /// Text, as it need not be valid JSON.
    pub d: String,
    /// What an exact cache holds before it.
    pub old: Option<Value>,
    /// Whether it was written to a socket.
    pub delivered: bool,
    /// Whether its session can be resumed.
    pub session_live: bool,
}

async fn sent(State(shared): Shares, Query(page): Query<Page>) -> Json<Vec<SentBody>> {
    let limit = page.limit.unwrap_or(PAGE);
    let events = shared.lock().dispatcher.sent(page.shard, page.after, limit);
    let body = |(offset, event): (usize, SentEvent)| SentBody {
        index: page.after + offset,
        session: event.session,
        seq: event.seq,
        t: event.t,
        d: event.d.to_string(),
        old: event.old,
        delivered: event.delivered,
        session_live: event.session_live,
    };
    Json(events.into_iter().enumerate().map(body).collect())
}

async fn commands(State(shared): Shares, Query(page): Query<Page>) -> Json<Vec<Value>> {
    let commands = shared.lock().dispatcher.commands(page.shard);
    let body = |(at, payload)| json!({"age_ms": age(at), "payload": payload});
    let limit = page.limit.unwrap_or(PAGE);
    Json(
        commands
            .into_iter()
            .skip(page.after)
            .take(limit)
            .map(body)
            .collect(),
    )
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultBody {
    fault: Fault,
    /// Left out: all shards.
    shard: Option<u32>,
}

async fn fault(State(shared): Shares, Json(body): Json<FaultBody>) -> Response {
    let mut state = shared.lock();
    if let Some(error) = no_shard(&state, body.shard) {
        return bad(&error);
    }
    let scope = body.shard.map_or(Scope::All, Scope::Shard);
    Json(json!({"reached": state.fault(body.fault, scope)})).into_response()
}

/// What is wrong about a shard that no client can have by the totals that were identified with. Before the first IDENTIFY
/// any may come.
fn no_shard(state: &state::State, shard: Option<u32>) -> Option<String> {
    let (shard, total) = (shard?, state.dispatcher.largest_total()?);
    let error = format!("there is no shard {shard} of {total}: the first is 0");
    (shard >= total).then_some(error)
}

fn bad(error: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response()
}

async fn rest_fault(State(shared): Shares, Json(fault): Json<RestFault>) -> StatusCode {
    shared.lock().rest_fault(fault);
    StatusCode::NO_CONTENT
}

async fn rest_normally(State(shared): Shares) -> StatusCode {
    shared.lock().faults.rest.clear();
    StatusCode::NO_CONTENT
}

async fn connections(State(shared): Shares) -> Json<Vec<Value>> {
    let made: Vec<_> = shared.lock().traffic.connections().copied().collect();
    let body = |made: ConnectionMade| {
        let ConnectionMade {
            at,
            host,
            asked,
            shard,
        } = made;
        json!({"age_ms": age(at), "host": host, "asked": asked, "shard": shard})
    };
    Json(made.into_iter().map(body).collect())
}

async fn requests(State(shared): Shares) -> Json<Vec<Value>> {
    let requests: Vec<_> = shared.lock().traffic.requests().cloned().collect();
    let body = |request: RestRequest| {
        let RestRequest {
            at,
            route,
            status,
            body,
        } = request;
        let body = serde_json::from_str::<Value>(&body).unwrap_or(Value::String(body));
        json!({"age_ms": age(at), "route": route, "status": status, "body": body})
    };
    Json(requests.into_iter().map(body).collect())
}

/// Milliseconds since then.
fn age(at: Instant) -> u64 {
    u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InjectBody {
    #[serde(default)]
    shard: u32,
    /// Event name; with it, `d` too.
    t: Option<String>,
    /// The text of `d`.
    d: Option<String>,
    /// A whole message instead; `$SEQ` in it takes a sequence.
    raw: Option<String>,
}

async fn inject(State(shared): Shares, Json(body): Json<InjectBody>) -> Response {
    let mut state = shared.lock();
    if let Some(error) = no_shard(&state, Some(body.shard)) {
        return bad(&error);
    }
    let sessions = match (&body.t, &body.d, &body.raw) {
        (Some(t), Some(d), None) => state.dispatcher.inject(body.shard, t, d),
        (None, None, Some(raw)) => state.dispatcher.inject_raw(body.shard, raw),
        _ => {
            return bad("expected either `t` and `d`, or `raw`");
        }
    };
    Json(json!({"sessions": sessions})).into_response()
}

async fn act(State(shared): Shares, Json(action): Json<Action>) -> Response {
    match shared.lock().dispatcher.act(&action) {
        Ok(done) => Json(done).into_response(),
        Err(error) => bad(&error),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadBody {
    events: Option<u64>,
    rate: Option<f64>,
    duration_ms: Option<u64>,
    /// Event names; left out: the realistic mix.
    mix: Option<Vec<String>>,
}

/// Starts a load beside those that run.
async fn start_load(State(shared): Shares, Json(body): Json<LoadBody>) -> StatusCode {
    let mix = match body.mix {
        None => Mix::realistic(),
        Some(names) => Mix::only(&names.iter().map(String::as_str).collect::<Vec<_>>()),
    };
    let duration = body.duration_ms.map(Duration::from_millis);
    let load = Load {
        events: body.events,
        rate: body.rate,
        mix,
        duration,
    };
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let made = load::run(&shared, load).await;
        tracing::info!(made, "load ended");
    });
    StatusCode::ACCEPTED
}

async fn stop_load(State(shared): Shares) -> StatusCode {
    let running = {
        let mut state = shared.lock();
        std::mem::replace(&mut state.loads, CancellationToken::new())
    };
    running.cancel();
    StatusCode::NO_CONTENT
}
