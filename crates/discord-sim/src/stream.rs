//! A stream, encrypted or not, whose first bytes were read already, to see what it is.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use tokio_rustls::server::TlsStream;

use crate::state::Peer;

/// More than this before the blank line is no request of ours.
const MAX_HEAD: usize = 16 * 1024;

/// What a connection runs on.
#[derive(Debug)]
pub(crate) enum Socket {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }
}

/// What a new connection turned out to be.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A WebSocket upgrade: the gateway.
    Gateway(PeekedStream),
    /// Anything else: REST or the control API.
    Http(PeekedStream),
}

/// Reads the head of the request and tells what it is; nothing is taken from the stream.
///
/// # Errors
///
/// If the client goes or its head is too long.
pub(crate) async fn inspect(mut socket: Socket, peer: Peer) -> io::Result<Arrival> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > MAX_HEAD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "request head too long",
            ));
        }
        if socket.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let is_gateway = is_upgrade(&head);
    let stream = PeekedStream {
        socket,
        head,
        position: 0,
        peer,
    };
    Ok(if is_gateway {
        Arrival::Gateway(stream)
    } else {
        Arrival::Http(stream)
    })
}

fn is_upgrade(head: &[u8]) -> bool {
    String::from_utf8_lossy(head)
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("upgrade")
                && value.trim().eq_ignore_ascii_case("websocket")
        })
}

/// See the module's documentation. Dropped after [`Cut::reset`], it resets the connection.
#[derive(Debug)]
pub(crate) struct PeekedStream {
    socket: Socket,
    head: Vec<u8>,
    position: usize,
    peer: Peer,
}

impl PeekedStream {
    /// Passes over the request's head.
    pub(crate) fn skip_head(&mut self) {
        self.position = 0;
        self.head = Vec::new();
    }

    /// Where it comes from.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Gives back what was read too far.
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        let rest = self.head.split_off(self.position.min(self.head.len()));
        self.head = [bytes, &rest].concat();
        self.position = 0;
    }
}

impl Drop for PeekedStream {
    fn drop(&mut self) {
        if self.peer.cut.is_reset() {
            // Fails only on a socket that is gone already.
            let _ = self.socket.tcp().set_zero_linger();
        }
    }
}

impl AsyncRead for PeekedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.position < this.head.len() {
            let count = buffer.remaining().min(this.head.len() - this.position);
            buffer.put_slice(&this.head[this.position..this.position + count]);
            this.position += count;
            if this.position == this.head.len() {
                this.head = Vec::new();
                this.position = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PeekedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.peer.cut.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.peer.cut.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::is_upgrade;

    #[test]
    fn an_upgrade_is_known_by_its_header() {
        assert!(is_upgrade(
            b"GET /?v=10 HTTP/1.1\r\nHost: x\r\nupgrade: WebSocket\r\n\r\n"
        ));
        assert!(!is_upgrade(
            b"GET /gateway HTTP/1.1\r\nHost: upgrade: websocket\r\n\r\n"
        ));
    }
}
