//! Peers that stop speaking: each wait for them has an end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use discord_sim::{Answer, Fault, Point, Scope, Sim, SimConfig};
use testbed::wait;

use crate::bad_days::peer::{LIMIT, LIVE, Peer, Place, drop_all, once};

/// Discord has 20 s for HELLO; after that comes a pause of a second or two. A loaded machine adds to it.
const HELLO: Duration = Duration::from_secs(35);
/// Discord has 60 s for READY and RESUMED.
const READY: Duration = Duration::from_secs(80);
/// Discord has 5 s to answer our close frame; then it is connected anew.
const CLOSED: Duration = Duration::from_secs(12);

pub(crate) async fn without_hello_it_connects_again(place: Place) -> Result<()> {
    let silent = |sim: &Sim| {
        sim.fault(once(Point::Upgrade, Answer::Ignore), Scope::All);
    };
    let peer = Peer::start(&place, SimConfig::default(), silent).await?;
    let connected = async || peer.sim.connections_made().len() == 1;
    wait::until("the first connection", LIMIT, connected).await?;
    peer.is_live(HELLO).await?;
    ensure!(peer.sim.connections_made().len() == 2, "{}", peer.story());
    Ok(())
}

pub(crate) async fn without_ready_it_connects_again(place: Place) -> Result<()> {
    let silent = |sim: &Sim| {
        sim.fault(once(Point::Identify, Answer::Ignore), Scope::All);
    };
    let peer = Peer::start(&place, SimConfig::default(), silent).await?;
    let asked = async || {
        peer.sim
            .connections_made()
            .iter()
            .any(|m| m.asked.is_some())
    };
    wait::until("the first IDENTIFY", LIMIT, asked).await?;
    peer.is_live(READY).await?;
    ensure!(peer.sim.connections_made().len() == 2, "{}", peer.story());
    Ok(())
}

pub(crate) async fn without_resumed_it_connects_again(place: Place) -> Result<()> {
    let peer = Peer::live(&place, SimConfig::default()).await?;
    peer.sim
        .fault(once(Point::Resume, Answer::Ignore), Scope::All);
    drop_all(&peer.sim);
    let resumed = async || peer.sim.resumes() == 1;
    let waited = wait::until("the session to go on", READY, resumed).await;
    waited.with_context(|| peer.story())?;
    ensure!(peer.sim.identifies() == 1, "{}", peer.story());
    Ok(())
}

pub(crate) async fn a_node_that_dies_after_op_7_is_left(place: Place) -> Result<()> {
    let peer = Peer::live(&place, SimConfig::default()).await?;
    let connected = async || peer.status().await.ok().flatten().as_deref() == Some("Connected");
    wait::until("the status Connected", LIMIT, connected).await?;
    peer.sim.fault(Fault::ReconnectThenSilence, Scope::All);
    let elsewhere = async || !connected().await;
    let shown = wait::until("another status", CLOSED, elsewhere).await?;
    let resumed = async || peer.sim.resumes() == 1;
    let waited = wait::until("the session to go on", CLOSED - shown.min(CLOSED), resumed).await;
    waited.with_context(|| peer.story())?;
    wait::until("the status Connected", LIVE, connected).await?;
    Ok(())
}

pub(crate) async fn a_node_that_dies_after_op_9_is_left(place: Place) -> Result<()> {
    let peer = Peer::live(&place, SimConfig::default()).await?;
    let dying = Answer::InvalidSessionThenSilence { resumable: true };
    peer.sim.fault(once(Point::Resume, dying), Scope::All);
    drop_all(&peer.sim);
    // 5 s for the close frame, then 1 to 5 s as after any op 9.
    let resumed = async || peer.sim.resumes() == 1;
    let waited = wait::until("the session to go on", LIMIT, resumed).await;
    waited.with_context(|| peer.story())?;
    ensure!(peer.sim.identifies() == 1, "{}", peer.story());
    Ok(())
}
