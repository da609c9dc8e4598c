//! Resumes that Discord does not grant, at an address of their own or at all.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use discord_sim::{Answer, Asked, Fault, Host, Point, ResumeUrl, Scope, SimConfig};
use testbed::binaries::Service;
use testbed::collector::Collector;
use testbed::wait;

use crate::bad_days::peer::{LIMIT, LIVE, Peer, Place, always, drop_all};

/// Longest time for five refusals and the pauses between them.
const GIVEN_UP: Duration = Duration::from_secs(120);

/// READY names another address for resuming.
fn own_resume_url() -> SimConfig {
    SimConfig {
        resume_url: ResumeUrl::Own(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        ..SimConfig::default()
    }
}

/// Three resumes at their address, two at the main one, then a new session, a metric and a gap notice.
pub(crate) async fn the_session_is_given_up_after_five_refusals(place: Place) -> Result<()> {
    let collector = Collector::start(&place.rabbit_url).await?;
    let peer = Peer::live(&place, own_resume_url()).await?;
    let _writer = place.start(Service::CacheWriter, &peer.sim)?;
    peer.sim
        .fault(always(Point::Resume, Answer::Close(1011)), Scope::All);
    let begin = drop_all(&peer.sim);
    let renewed = async || peer.sim.identifies() == 2;
    let waited = wait::until("a new session", GIVEN_UP, renewed).await;
    waited.with_context(|| peer.story())?;
    peer.is_live(LIMIT).await?;
    let resume = |host| (host, Some(Asked::Resume));
    let expected = [
        resume(Host::Resume),
        resume(Host::Resume),
        resume(Host::Resume),
        resume(Host::Main),
        resume(Host::Main),
        (Host::Main, Some(Asked::Identify)),
    ];
    let asked = peer.asked_since(begin);
    ensure!(asked == expected, "{asked:?}");
    let lost = peer.metric("gateway_sessions_lost_total").await?;
    ensure!(lost == 1.0, "{lost} lost sessions");
    let told = async || collector.ledger().distinct_gaps() == 1;
    wait::until("the gap notice", LIMIT, told).await?;
    Ok(())
}

pub(crate) async fn a_refusing_resume_host_is_left_for_the_main_url(place: Place) -> Result<()> {
    is_left_for_the_main_url(place, Point::Connect, Answer::Reset).await
}

pub(crate) async fn a_silent_resume_host_is_left_for_the_main_url(place: Place) -> Result<()> {
    is_left_for_the_main_url(place, Point::Upgrade, Answer::Ignore).await
}

/// The resume host fails in this way for good; the session goes on at the main URL all the same.
async fn is_left_for_the_main_url(place: Place, at: Point, with: Answer) -> Result<()> {
    let peer = Peer::live(&place, own_resume_url()).await?;
    let fault = Fault::Answer {
        at,
        with,
        times: None,
        host: Some(Host::Resume),
    };
    peer.sim.fault(fault, Scope::All);
    let begin = drop_all(&peer.sim);
    let resumed = async || peer.sim.resumes() == 1;
    let waited = wait::until("the session to go on", GIVEN_UP, resumed).await;
    waited.with_context(|| peer.story())?;
    ensure!(peer.sim.identifies() == 1, "{}", peer.story());
    let asked = peer.asked_since(begin);
    let (last, before) = asked.split_last().context("no connection")?;
    ensure!(*last == (Host::Main, Some(Asked::Resume)), "{asked:?}");
    let tried = before.iter().all(|(host, _)| *host == Host::Resume);
    ensure!(tried && (1..=3).contains(&before.len()), "{asked:?}");
    Ok(())
}

pub(crate) async fn a_ready_without_a_resume_url_is_resumed_on_the_main_url(
    place: Place,
) -> Result<()> {
    let config = SimConfig {
        resume_url: ResumeUrl::Absent,
        ..SimConfig::default()
    };
    let peer = Peer::live(&place, config).await?;
    drop_all(&peer.sim);
    let resumed = async || peer.sim.resumes() == 1;
    let waited = wait::until("the session to go on", LIVE, resumed).await;
    waited.with_context(|| peer.story())?;
    ensure!(peer.sim.identifies() == 1, "{}", peer.story());
    Ok(())
}
