//! The bytes of a client's connection, plain or in TLS, with what was read of it before; or those of one inside of it.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::l4::relay::Carrier;

/// A socket of which the beginning was read already.
#[derive(Debug)]
pub struct Begun {
    early: Bytes,
    socket: TcpStream,
}

/// A client's bytes.
#[derive(Debug)]
pub enum ClientIo {
    /// As they are on the wire.
    Plain(Begun),
    /// In TLS.
    Tls(Box<TlsStream<Begun>>),
    /// In a tunnel, whose TLS ended here.
    Inside(Box<dyn Inner>),
}

/// What carries a connection that runs in another.
pub trait Inner: AsyncRead + AsyncWrite + Unpin + Send + Sync + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync + fmt::Debug> Inner for T {}

impl Begun {
    /// A socket of which `early` was read.
    pub fn new(socket: TcpStream, early: Bytes) -> Self {
        Self { early, socket }
    }
}

impl ClientIo {
    /// The descriptor of the socket, where it has one of its own.
    pub fn fd(&self) -> Option<RawFd> {
        match self {
            Self::Plain(it) => Some(it.socket.as_raw_fd()),
            Self::Tls(it) => Some(it.get_ref().0.socket.as_raw_fd()),
            Self::Inside(_) => None,
        }
    }
}

impl Carrier for ClientIo {
    fn ends_by_closing(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            // Its peer waits for the end of the session that it has with us.
            Self::Tls(_) | Self::Inside(_) => false,
        }
    }
}

impl AsyncRead for Begun {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, out);
        }
        let step = self.early.len().min(out.remaining());
        out.put_slice(self.early.get(..step).unwrap_or_default());
        self.early.advance(step);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_read(cx, out),
            Self::Tls(it) => Pin::new(it).poll_read(cx, out),
            Self::Inside(it) => Pin::new(it).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_write(cx, bytes),
            Self::Tls(it) => Pin::new(it).poll_write(cx, bytes),
            Self::Inside(it) => Pin::new(it).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_flush(cx),
            Self::Tls(it) => Pin::new(it).poll_flush(cx),
            Self::Inside(it) => Pin::new(it).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_shutdown(cx),
            Self::Tls(it) => Pin::new(it).poll_shutdown(cx),
            Self::Inside(it) => Pin::new(it).poll_shutdown(cx),
        }
    }
}
