//! Wrong answers at chosen points of a connection.

use std::{net::SocketAddr, time::Duration};

use discord_sim::{Answer, Asked, Fault, Host, Point, ResumeUrl, Scope, Sim, SimConfig};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_websockets::ClientBuilder;

use crate::{
    client::{RawClient, Received},
    config, start, until,
};

const PLAIN: &str = "v=10&encoding=json";

fn answer(sim: &Sim, at: Point, with: Answer, times: Option<u32>) {
    let fault = Fault::Answer {
        at,
        with,
        times,
        host: None,
    };
    sim.fault(fault, Scope::All);
}

fn heartbeat() -> Value {
    json!({"op": 1, "d": null})
}

/// Nothing comes, neither an answer nor the end.
async fn is_silent(client: &mut RawClient) -> bool {
    let quiet = timeout(Duration::from_millis(100), client.next()).await;
    quiet.is_err()
}

#[tokio::test]
async fn the_upgrade_can_be_refused_in_each_way() {
    let sim = start(config()).await;
    let connect = async || {
        let url = sim.gateway_url();
        let tcp = TcpStream::connect(url.trim_start_matches("ws://"));
        let tcp = tcp.await.unwrap();
        let uri = format!("{url}/?{PLAIN}");
        let builder = ClientBuilder::new().uri(&uri).unwrap();
        timeout(Duration::from_millis(200), builder.connect_on(tcp)).await
    };
    for with in [
        Answer::Reset,
        Answer::End,
        Answer::Http(503),
        Answer::Close(4000),
    ] {
        answer(&sim, Point::Connect, with, Some(1));
        assert!(matches!(connect().await, Ok(Err(_))), "{with:?}");
    }
    answer(&sim, Point::Connect, Answer::Silence, Some(1));
    assert!(connect().await.is_err());
    assert!(matches!(connect().await, Ok(Ok(_))));
    assert_eq!(sim.connections_made().len(), 6);
}

#[tokio::test]
async fn hello_can_stay_away_while_the_rest_goes_on() {
    let sim = start(config()).await;
    answer(&sim, Point::Upgrade, Answer::Ignore, Some(1));
    let mut client = RawClient::connect(&sim, PLAIN).await;
    client.send(&heartbeat()).await;
    client.op(11).await;
    answer(&sim, Point::Upgrade, Answer::Silence, Some(1));
    let mut client = RawClient::connect(&sim, PLAIN).await;
    client.send(&heartbeat()).await;
    assert!(is_silent(&mut client).await);
    for (with, last) in [
        (Answer::Reset, Received::Gone),
        (Answer::End, Received::Gone),
        (Answer::Close(1011), Received::Closed(1011)),
    ] {
        answer(&sim, Point::Upgrade, with, Some(1));
        let mut client = RawClient::connect(&sim, PLAIN).await;
        assert_eq!(client.next().await, last);
        answer(&sim, Point::Hello, with, Some(1));
        let mut client = RawClient::hello(&sim).await;
        assert_eq!(client.next().await, last);
    }
    // Op 7 may come before HELLO.
    answer(&sim, Point::Upgrade, Answer::Reconnect, Some(1));
    RawClient::connect(&sim, PLAIN).await.op(7).await;
    RawClient::hello(&sim).await;
}

#[tokio::test]
async fn ready_and_resumed_can_stay_away() {
    let sim = start(config()).await;
    answer(&sim, Point::Identify, Answer::Ignore, Some(1));
    let mut client = RawClient::hello(&sim).await;
    client.identify(0, 1).await;
    client.send(&heartbeat()).await;
    client.op(11).await;
    assert_eq!(sim.identifies(), 0);
    client.identify(0, 1).await;
    let session = client.event("READY").await["d"]["session_id"].clone();
    let session = session.as_str().unwrap().to_owned();

    answer(&sim, Point::Resume, Answer::Silence, Some(1));
    let mut client = RawClient::resume(&sim, &session, 5).await;
    client.send(&heartbeat()).await;
    assert!(is_silent(&mut client).await);
    let asked: Vec<_> = sim
        .connections_made()
        .iter()
        .map(|made| made.asked)
        .collect();
    assert_eq!(asked, [Some(Asked::Identify), Some(Asked::Resume)]);
    let mut client = RawClient::resume(&sim, &session, 5).await;
    client.event("RESUMED").await;
}

#[tokio::test]
async fn a_resume_is_refused_in_the_order_asked_for_and_the_session_stays() {
    let sim = start(config()).await;
    let (first, _) = RawClient::ready(&sim, 0, 1).await;
    let resume = async || RawClient::resume(&sim, &first.session, 1).await;
    answer(&sim, Point::Resume, Answer::Close(1011), Some(2));
    answer(&sim, Point::Resume, Answer::Reset, Some(1));
    answer(
        &sim,
        Point::Resume,
        Answer::InvalidSession { resumable: true },
        Some(1),
    );
    answer(&sim, Point::Resume, Answer::Reconnect, Some(1));
    assert_eq!(resume().await.closed().await, 1011);
    assert_eq!(resume().await.closed().await, 1011);
    resume().await.gone().await;
    assert_eq!(resume().await.op(9).await["d"], true);
    resume().await.op(7).await;
    resume().await.event("RESUMED").await;

    answer(
        &sim,
        Point::Resume,
        Answer::InvalidSession { resumable: false },
        Some(1),
    );
    assert_eq!(resume().await.op(9).await["d"], false);
    // That was said of the session itself.
    assert_eq!(resume().await.op(9).await["d"], false);
    assert_eq!(sim.invalid_sessions(), 3);
}

#[tokio::test]
async fn a_session_can_end_as_soon_as_it_is_there() {
    let sim = start(config()).await;
    answer(&sim, Point::Session, Answer::Reset, Some(2));
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.gone().await;
    let mut again = RawClient::resume(&sim, &client.session, 1).await;
    again.gone().await;
    let mut again = RawClient::resume(&sim, &client.session, 1).await;
    again.event("RESUMED").await;
}

#[tokio::test]
async fn a_command_is_closed_upon_and_what_follows_is_not_read() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    let presence = |status| json!({"op": 3, "d": {"since": null, "activities": [], "status": status, "afk": false}});
    answer(&sim, Point::Command(31), Answer::Close(4002), Some(1));
    client.send(&presence("idle")).await;
    client
        .send(&json!({"op": 31, "d": {"guild_ids": []}}))
        .await;
    client.send(&presence("dnd")).await;
    assert_eq!(client.closed().await, 4002);
    let mut client = RawClient::resume(&sim, &client.session, client.sequence).await;
    client.event("RESUMED").await;
    client
        .send(&json!({"op": 31, "d": {"guild_ids": []}}))
        .await;
    until("the second command is read", || {
        sim.commands_received(0).len() == 2
    })
    .await;
    let ops = sim.commands_received(0);
    let ops: Vec<_> = ops
        .iter()
        .map(|(_, payload)| payload["op"].as_u64())
        .collect();
    assert_eq!(ops, [Some(3), Some(31)]);
}

#[tokio::test]
async fn after_op_7_a_node_can_die_without_an_answer_to_the_close_frame() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    assert_eq!(sim.fault(Fault::ReconnectThenSilence, Scope::All), 1);
    client.op(7).await;
    until("the connection is forgotten", || sim.connections() == 0).await;
    let close = client.close(4000);
    assert!(timeout(Duration::from_millis(200), close).await.is_err());
    let mut client = RawClient::resume(&sim, &client.session, client.sequence).await;
    client.event("RESUMED").await;
}

#[tokio::test]
async fn the_address_for_resuming_has_faults_of_its_own() {
    let sim = start(SimConfig {
        resume_url: ResumeUrl::Own(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..config()
    })
    .await;
    let (mut client, ready) = RawClient::ready(&sim, 0, 1).await;
    let url = ready["d"]["resume_gateway_url"].as_str().unwrap();
    assert_ne!(url, sim.gateway_url());
    let silent = Fault::Answer {
        at: Point::Upgrade,
        with: Answer::Ignore,
        times: None,
        host: Some(Host::Resume),
    };
    sim.fault(silent, Scope::All);
    client.close(4000).await;
    let mut there = RawClient::connect_to(url, PLAIN).await;
    assert!(is_silent(&mut there).await);
    let mut here = RawClient::resume(&sim, &client.session, 1).await;
    here.event("RESUMED").await;
    let hosts: Vec<_> = sim
        .connections_made()
        .iter()
        .map(|made| made.host)
        .collect();
    assert_eq!(hosts, [Host::Main, Host::Resume, Host::Main]);
    sim.fault(Fault::AnswerNormally { at: None }, Scope::All);
    RawClient::connect_to(url, PLAIN).await.op(10).await;
}

#[tokio::test]
async fn ready_may_name_no_address_for_resuming() {
    let sim = start(SimConfig {
        resume_url: ResumeUrl::Absent,
        ..config()
    })
    .await;
    let (_client, ready) = RawClient::ready(&sim, 0, 1).await;
    assert!(ready["d"].get("resume_gateway_url").is_none());
}

#[tokio::test]
async fn a_single_shard_is_meant_as_soon_as_it_is_known() {
    let sim = start(config()).await;
    let fault = Fault::Answer {
        at: Point::Upgrade,
        with: Answer::Reset,
        times: None,
        host: None,
    };
    sim.fault(fault, Scope::Shard(1));
    let (_zero, _) = RawClient::ready(&sim, 0, 2).await;
    let mut one = RawClient::hello(&sim).await;
    one.identify(1, 2).await;
    one.gone().await;
}
