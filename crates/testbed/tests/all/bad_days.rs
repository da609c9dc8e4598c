//! Discord on a bad day: whatever it does, a shard neither stays deaf nor floods it, with the release binaries.
//!
//! Each row has a simulated Discord and an ingest of its own. Rows mostly wait, so they run side by side on the same servers.

mod always_ending;
mod peer;
mod rest;
mod resuming;
mod silence;

use std::future::Future;
use std::pin::Pin;

use anyhow::Result;
use futures_util::future::join_all;
use testbed::servers::{Persistence, Servers};

use peer::Place;

/// What a row does, in a place of its own.
type Row = fn(Place) -> Pin<Box<dyn Future<Output = Result<()>>>>;

/// Makes a [`Row`] of an async function.
macro_rules! row {
    ($row:path) => {
        (stringify!($row), |place| Box::pin($row(place)))
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_always_ends_is_not_flooded_and_comes_back() {
    let rows: Vec<_> = always_ending::PEERS.iter().enumerate().collect();
    let servers = Servers::start(Persistence::None).await.unwrap();
    let places = Place::several(&servers, rows.len()).await.unwrap();
    let ended = rows
        .into_iter()
        .zip(places)
        .map(async |((_, peer), place)| {
            let ended = always_ending::is_met_with_patience(*peer, place).await;
            (format!("{peer:?}"), ended)
        });
    all_passed(join_all(ended).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_finds_its_way_past_a_gateway_that_refuses_or_is_silent() {
    side_by_side(&[
        row!(resuming::the_session_is_given_up_after_five_refusals),
        row!(resuming::a_refusing_resume_host_is_left_for_the_main_url),
        row!(resuming::a_silent_resume_host_is_left_for_the_main_url),
        row!(resuming::a_ready_without_a_resume_url_is_resumed_on_the_main_url),
        row!(silence::without_hello_it_connects_again),
        row!(silence::without_ready_it_connects_again),
        row!(silence::without_resumed_it_connects_again),
        row!(silence::a_node_that_dies_after_op_7_is_left),
        row!(silence::a_node_that_dies_after_op_9_is_left),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_is_asked_as_seldom_as_it_wants() {
    side_by_side(&[
        row!(rest::retry_after_is_obeyed_without_bucket_headers),
        row!(rest::retry_after_is_obeyed_with_bucket_headers),
        row!(rest::retry_after_is_obeyed_in_a_page_of_cloudflare),
        row!(rest::a_refusal_without_retry_after_is_met_with_patience),
        row!(rest::an_outage_is_met_with_patience),
        row!(rest::resets_are_met_with_patience),
        row!(rest::nonsense_is_met_with_patience),
        row!(rest::a_page_of_cloudflare_with_403_is_not_the_token),
    ])
    .await;
}

async fn side_by_side(rows: &[(&str, Row)]) {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let places = Place::several(&servers, rows.len()).await.unwrap();
    let ended = rows.iter().zip(places).map(async |((name, row), place)| {
        let ended = row(place).await;
        ((*name).to_owned(), ended)
    });
    all_passed(join_all(ended).await);
}

/// Fails with all that is wrong, not with the first.
fn all_passed(rows: Vec<(String, Result<()>)>) {
    let failed = |(name, ended): (String, Result<()>)| {
        let error = ended.err()?;
        Some(format!("{name}: {error:#}"))
    };
    let failed: Vec<_> = rows.into_iter().filter_map(failed).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
