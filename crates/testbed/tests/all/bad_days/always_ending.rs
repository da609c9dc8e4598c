//! Peers that always end the connection, at one point or another.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use discord_sim::{Answer, Fault, Point, Scope, SimConfig};

use crate::bad_days::peer::{LIVE, Peer, Place, always, drop_all, seldom};

/// How long the peer is watched.
const WATCHED: Duration = Duration::from_secs(30);
/// The window in which connections are counted.
const WINDOW: Duration = Duration::from_secs(20);
/// The most connections that a shard may make in it.
const MOST: usize = 14;

/// What goes wrong, where.
pub(crate) const PEERS: [(Point, Answer); 15] = [
    (Point::Connect, Answer::Reset),
    (Point::Connect, Answer::Http(503)),
    (Point::Upgrade, Answer::Reset),
    (Point::Upgrade, Answer::End),
    (Point::Upgrade, Answer::Close(1001)),
    (Point::Upgrade, Answer::Reconnect),
    (Point::Hello, Answer::Reset),
    (Point::Hello, Answer::Close(4000)),
    (Point::Identify, Answer::InvalidSession { resumable: false }),
    (Point::Identify, Answer::Close(4000)),
    (Point::Resume, Answer::Close(1011)),
    (Point::Resume, Answer::InvalidSession { resumable: true }),
    (Point::Resume, Answer::Reconnect),
    (Point::Resume, Answer::Reset),
    (Point::Session, Answer::Reset),
];

/// At most 14 connections in any 20 s while it lasts, live within 60 s after it.
pub(crate) async fn is_met_with_patience((at, with): (Point, Answer), place: Place) -> Result<()> {
    let config = SimConfig::default();
    let fault = always(at, with);
    let (peer, begin) = if at == Point::Resume {
        let peer = Peer::live(&place, config).await?;
        peer.sim.fault(fault, Scope::All);
        let begin = drop_all(&peer.sim);
        (peer, begin)
    } else {
        let begin = Instant::now();
        let faulty = |sim: &discord_sim::Sim| {
            sim.fault(fault, Scope::All);
        };
        (Peer::start(&place, config, faulty).await?, begin)
    };
    // The length of the observation, not a wait for something.
    tokio::time::sleep(WATCHED).await;
    let made = peer.sim.connections_made();
    let times: Vec<_> = made
        .iter()
        .map(|made| made.at)
        .filter(|at| *at >= begin)
        .collect();
    ensure!(times.len() > 1, "no second try: {}", peer.story());
    seldom(&times, MOST, WINDOW).map_err(|error| error.context(peer.story()))?;
    peer.sim
        .fault(Fault::AnswerNormally { at: None }, Scope::All);
    peer.is_live(LIVE).await?;
    let violations = peer.sim.violations();
    ensure!(violations.is_empty(), "{violations:?}");
    Ok(())
}
