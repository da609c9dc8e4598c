//! One port for everything: gateway connections and HTTP requests are told apart by their head.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    faults::Host,
    gateway,
    state::{Cut, Peer, Shared},
    stream::{Arrival, PeekedStream, Socket, inspect},
};

/// How long a client may take to send the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP connections that may wait to be served.
const HTTP_BACKLOG: usize = 64;

/// The HTTP half of the port, for axum.
#[derive(Debug)]
pub(super) struct HttpListener {
    arrivals: mpsc::Receiver<PeekedStream>,
    address: SocketAddr,
}

/// Starts accepting; gateway connections are served by tasks of their own, HTTP ones come out of the
/// listener returned.
pub(super) fn listen(
    shared: Arc<Shared>,
    listener: TcpListener,
    resume_listener: Option<TcpListener>,
    tls: Option<TlsAcceptor>,
) -> HttpListener {
    let (http, arrivals) = mpsc::channel(HTTP_BACKLOG);
    let address = shared.address;
    let listeners = [
        (Some(listener), Host::Main),
        (resume_listener, Host::Resume),
    ];
    for (listener, host) in listeners {
        let Some(listener) = listener else { continue };
        let serves = (listener, host, tls.clone());
        let accepting = accept(Arc::clone(&shared), serves, http.clone());
        shared.tasks.spawn(accepting);
    }
    HttpListener { arrivals, address }
}

async fn accept(
    shared: Arc<Shared>,
    (listener, host, tls): (TcpListener, Host, Option<TlsAcceptor>),
    http: mpsc::Sender<PeekedStream>,
) {
    let stop = shared.stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((tcp, _)) => {
                let (shared, http, tls) = (Arc::clone(&shared), http.clone(), tls.clone());
                let tasks = shared.tasks.clone();
                tasks.spawn(async move {
                    let stop = shared.stop.clone();
                    // A gateway connection sees the stop itself and closes properly.
                    let Some(arrival) = stop.run_until_cancelled(arrive(tcp, host, tls)).await
                    else {
                        return;
                    };
                    match arrival {
                        Ok(Arrival::Gateway(stream)) => gateway::serve(shared, stream).await,
                        Ok(Arrival::Http(stream)) => {
                            // The receiver is gone at shutdown only.
                            let _ = http.send(stream).await;
                        }
                        Err(error) => tracing::debug!(%error, "connection without a request"),
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some close.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn arrive(tcp: TcpStream, host: Host, tls: Option<TlsAcceptor>) -> io::Result<Arrival> {
    tcp.set_nodelay(true)?;
    let cut = Cut::default();
    let arriving = async {
        let socket = match tls {
            None => Socket::Plain(tcp),
            Some(tls) => Socket::Tls(Box::new(tls.accept(tcp).await?)),
        };
        inspect(socket, Peer { cut, host }).await
    };
    let arrival = tokio::time::timeout(HEAD_TIMEOUT, arriving).await;
    arrival.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// A handler that wants to cut its connection finds the handle here.
impl Connected<IncomingStream<'_, HttpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, HttpListener>) -> Self {
        stream.io().peer().clone()
    }
}

impl axum::serve::Listener for HttpListener {
    type Io = PeekedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.arrivals.recv().await {
            Some(stream) => (stream, self.address),
            // The port is closed; axum is stopped by the same signal.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
