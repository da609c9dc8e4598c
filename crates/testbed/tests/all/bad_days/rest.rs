//! `GET /gateway/bot` that is not answered as it should be.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use discord_sim::{RestBody, RestFault, SimConfig};
use testbed::wait;

use crate::bad_days::peer::{LIMIT, LIVE, Peer, Place, gateway_bot, seldom};

/// What `Retry-After` asks for.
const RETRY_AFTER: Duration = Duration::from_secs(6);
/// How long a lasting fault is watched.
const WATCHED: Duration = Duration::from_secs(30);
/// The window in which requests are counted, and the most that there may be in it.
const SELDOM: (usize, Duration) = (14, Duration::from_secs(20));

fn limited() -> RestFault {
    RestFault {
        retry_after: Some(RETRY_AFTER.as_secs().to_string()),
        times: Some(2),
        ..gateway_bot(429)
    }
}

pub(crate) async fn retry_after_is_obeyed_without_bucket_headers(place: Place) -> Result<()> {
    retry_after_is_obeyed(place, limited()).await
}

pub(crate) async fn retry_after_is_obeyed_with_bucket_headers(place: Place) -> Result<()> {
    let fault = RestFault {
        bucket_headers: true,
        ..limited()
    };
    retry_after_is_obeyed(place, fault).await
}

pub(crate) async fn retry_after_is_obeyed_in_a_page_of_cloudflare(place: Place) -> Result<()> {
    let fault = RestFault {
        body: RestBody::Html,
        ..limited()
    };
    retry_after_is_obeyed(place, fault).await
}

/// Two refusals with `Retry-After`: the next request comes no sooner, and then all is well.
async fn retry_after_is_obeyed(place: Place, fault: RestFault) -> Result<()> {
    let peer = Peer::start(&place, SimConfig::default(), |sim| sim.rest_fault(fault)).await?;
    peer.is_live(LIVE).await?;
    let times = asked_at(&peer);
    ensure!(times.len() >= 3, "{} requests", times.len());
    for pair in times[..3].windows(2) {
        let pause = pair[1] - pair[0];
        ensure!(pause >= RETRY_AFTER, "asked again after {pause:.1?}");
    }
    Ok(())
}

pub(crate) async fn a_refusal_without_retry_after_is_met_with_patience(place: Place) -> Result<()> {
    is_met_with_patience(place, gateway_bot(429)).await
}

pub(crate) async fn an_outage_is_met_with_patience(place: Place) -> Result<()> {
    let fault = RestFault {
        body: RestBody::Html,
        ..gateway_bot(502)
    };
    is_met_with_patience(place, fault).await
}

pub(crate) async fn resets_are_met_with_patience(place: Place) -> Result<()> {
    let fault = RestFault {
        status: None,
        reset: true,
        ..gateway_bot(0)
    };
    is_met_with_patience(place, fault).await
}

pub(crate) async fn nonsense_is_met_with_patience(place: Place) -> Result<()> {
    let fault = RestFault {
        body: RestBody::Text("{\"url\":".to_owned()),
        ..gateway_bot(200)
    };
    is_met_with_patience(place, fault).await
}

/// A block lasts for minutes, and each further request prolongs it: the service says so and waits.
pub(crate) async fn a_page_of_cloudflare_with_403_is_not_the_token(place: Place) -> Result<()> {
    let fault = RestFault {
        body: RestBody::Html,
        ..gateway_bot(403)
    };
    let mut peer = Peer::start(&place, SimConfig::default(), |sim| sim.rest_fault(fault)).await?;
    let log = |peer: &Peer| peer.ingest.log_tail(20);
    let said = async || log(&peer).contains("cloudflare blocks this address");
    wait::until("the cause in the log", LIMIT, said).await?;
    // The length of the observation, not a wait for something.
    tokio::time::sleep(WATCHED).await;
    ensure!(peer.ingest.runs(), "has ended\n{}", log(&peer));
    let times = asked_at(&peer);
    ensure!(times.len() == 1, "{} requests\n{}", times.len(), log(&peer));
    Ok(())
}

/// Asked seldom while it lasts, and live within 60 s after it.
async fn is_met_with_patience(place: Place, fault: RestFault) -> Result<()> {
    let peer = Peer::start(&place, SimConfig::default(), |sim| sim.rest_fault(fault)).await?;
    let mut peer = peer;
    let asked = async || !asked_at(&peer).is_empty();
    wait::until("the first request", LIMIT, asked).await?;
    // The length of the observation, not a wait for something.
    tokio::time::sleep(WATCHED).await;
    ensure!(
        peer.ingest.runs(),
        "has ended\n{}",
        peer.ingest.log_tail(20)
    );
    let times = asked_at(&peer);
    ensure!(
        times.len() > 1,
        "no second try\n{}",
        peer.ingest.log_tail(20)
    );
    let (most, window) = SELDOM;
    seldom(&times, most, window).context("requests")?;
    peer.sim.rest_normally();
    peer.is_live(LIVE).await?;
    Ok(())
}

/// When `/gateway/bot` was asked for.
fn asked_at(peer: &Peer) -> Vec<Instant> {
    let requests = peer.sim.rest_requests().into_iter();
    let bot = requests.filter(|request| request.route == "GET /gateway/bot");
    bot.map(|request| request.at).collect()
}
