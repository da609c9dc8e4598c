use std::future::poll_fn;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_websockets::{Message as Frame, ServerBuilder, WebSocketStream};
use twilight_gateway::{Intents, queue::InMemoryQueue};

use super::*;
use crate::core::connection::Session;

const SOON: Duration = Duration::from_secs(5);
const HELLO: &str = r#"{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":45000}}"#;

async fn peer() -> (TcpListener, Client<InMemoryQueue>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let gateway = ConfigBuilder::new("token".to_owned(), Intents::empty())
        .proxy_url(url)
        .build();
    let session = Some(Session {
        id: "a".into(),
        sequence: 1,
        url: None,
    });
    let client = Client::new(&gateway, ShardId::ONE, &Target { session });
    (listener, client)
}

async fn next(client: &mut Client<InMemoryQueue>) -> Received {
    let received = poll_fn(|cx| client.poll_next(cx));
    timeout(SOON, received).await.unwrap()
}

async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = listener.accept().await.unwrap();
    ServerBuilder::new().accept(stream).await.unwrap().1
}

/// The first two things that a connection brings, and the peer's side of it.
async fn greeted(
    listener: &TcpListener,
    client: &mut Client<InMemoryQueue>,
) -> WebSocketStream<TcpStream> {
    let serve = async {
        let mut socket = accept(listener).await;
        // The client must be seen to wait before there is anything to read.
        tokio::time::sleep(Duration::from_millis(50)).await;
        socket.send(Frame::text(HELLO)).await.unwrap();
        socket
    };
    let receive = async {
        let upgraded = next(client).await;
        assert!(matches!(upgraded, Received::Upgraded), "{upgraded:?}");
        let hello = next(client).await;
        assert!(matches!(hello, Received::Payload(_)), "{hello:?}");
        assert!(client.hello(Duration::from_secs(45)));
    };
    tokio::join!(serve, receive).0
}

/// No other connection was begun, not even one that the peer's system has taken.
async fn is_alone(listener: &TcpListener, client: Client<InMemoryQueue>) {
    drop(client);
    let another = timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(another.is_err());
}

fn cause(received: Received) -> Cause {
    match received {
        Received::Ended(ending) => ending.cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_end_without_a_close_frame_makes_no_connection() {
    let (listener, mut client) = peer().await;
    drop(greeted(&listener, &mut client).await.into_inner());
    assert_eq!(cause(next(&mut client).await), Cause::Cut);
    is_alone(&listener, client).await;
}

#[tokio::test]
async fn an_end_right_after_the_upgrade_makes_no_connection() {
    let (listener, mut client) = peer().await;
    let serve = async { drop(accept(&listener).await.into_inner()) };
    let receive = async {
        loop {
            match next(&mut client).await {
                Received::Upgraded => {}
                other => break cause(other),
            }
        }
    };
    assert_eq!(tokio::join!(serve, receive).1, Cause::Cut);
    is_alone(&listener, client).await;
}

#[tokio::test]
async fn an_end_while_closing_makes_no_connection() {
    for op_7 in [true, false] {
        let (listener, mut client) = peer().await;
        let mut socket = greeted(&listener, &mut client).await;
        if op_7 {
            let reconnect = r#"{"t":null,"s":null,"op":7,"d":null}"#;
            socket.send(Frame::text(reconnect)).await.unwrap();
            assert!(matches!(next(&mut client).await, Received::Payload(_)));
            assert!(client.is_disconnected());
        } else {
            client.close(false);
        }
        let serve = async {
            // RESUME, then the close frame.
            while !socket.next().await.unwrap().unwrap().is_close() {}
            drop(socket.into_inner());
        };
        let receive = next(&mut client);
        assert_eq!(cause(tokio::join!(serve, receive).1), Cause::Cut);
        is_alone(&listener, client).await;
    }
}

#[tokio::test]
async fn a_close_code_is_told() {
    let (listener, mut client) = peer().await;
    let mut socket = greeted(&listener, &mut client).await;
    let code = tokio_websockets::CloseCode::try_from(4009).unwrap();
    socket
        .send(Frame::close(Some(code), "timeout"))
        .await
        .unwrap();
    let Received::Ended(ending) = next(&mut client).await else {
        panic!("not ended");
    };
    assert_eq!(ending.cause, Cause::Closed(Some(4009)));
    assert_eq!(ending.detail.as_deref(), Some("timeout"));
}

#[tokio::test]
async fn a_refused_connection_is_told() {
    let (listener, mut client) = peer().await;
    drop(listener);
    assert_eq!(cause(next(&mut client).await), Cause::Refused);
}

#[tokio::test]
async fn what_is_no_websocket_is_told() {
    let (listener, mut client) = peer().await;
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
            .await
            .unwrap();
        stream
    };
    assert_eq!(
        cause(tokio::join!(serve, next(&mut client)).1),
        Cause::Upgrade
    );
}
