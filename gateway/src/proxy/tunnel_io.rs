//! A client's end of a tunnel: its bare connection, or one stream of a connection of HTTP/2.
//!
//! A stream's flow control is the tunnel's: what was passed on makes room for more, and no
//! more is taken from the other side than the client has room for.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::SendStream;
use pingora::http::ResponseHeader;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::l4::relay::Carrier;
use crate::listener::client_io::ClientIo;

/// What a client of HTTP/1.1 is told when its tunnel begins.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
/// Most that is given to a stream at once.
const STEP: usize = 32 * 1024;

/// A client's end of a tunnel.
pub(super) enum TunnelIo {
    /// The connection itself.
    Bare(ClientIo),
    /// A stream.
    Stream(Box<H2Stream>),
}

/// Both directions of a stream.
pub(super) struct H2Stream {
    session: HttpSession,
    out: SendStream<Bytes>,
    early: Bytes,
    ended: bool,
}

impl TunnelIo {
    /// The stream of a request, which is answered with this.
    pub(super) fn of_stream(mut session: HttpSession) -> Result<Self> {
        let head = ResponseHeader::build(200, None)?;
        session.write_response_header(Box::new(head), false)?;
        let gone = || Error::explain(ErrorType::WriteError, "the stream is gone");
        let out = session.take_response_body_writer().ok_or_else(gone)?;
        Ok(Self::Stream(Box::new(H2Stream { session, out, early: Bytes::new(), ended: false })))
    }

    /// Tells the client that the tunnel is there.
    pub(super) async fn welcome(&mut self) -> io::Result<()> {
        match self {
            Self::Bare(io) => {
                io.write_all(ESTABLISHED).await?;
                io.flush().await
            }
            // Its head was sent with the stream.
            Self::Stream(_) => Ok(()),
        }
    }
}

impl AsyncRead for H2Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.early.is_empty() {
            let read = ready!(pin!(self.session.read_body_bytes()).poll(cx));
            match read.map_err(io::Error::other)? {
                Some(bytes) => self.early = bytes,
                None => return Poll::Ready(Ok(())),
            }
        }
        let step = self.early.len().min(out.remaining());
        out.put_slice(self.early.get(..step).unwrap_or_default());
        self.early.advance(step);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for H2Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // Room may go again before it is used.
        while self.out.capacity() == 0 {
            self.out.reserve_capacity(bytes.len().min(STEP));
            match ready!(self.out.poll_capacity(cx)) {
                Some(room) => room.map_err(io::Error::other)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
        }
        let step = self.out.capacity().min(bytes.len());
        let part = Bytes::copy_from_slice(bytes.get(..step).unwrap_or_default());
        self.out.send_data(part, false).map_err(io::Error::other)?;
        Poll::Ready(Ok(step))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection sends by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended {
            self.ended = true;
            self.out.send_data(Bytes::new(), true).map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Carrier for TunnelIo {
    fn ends_by_closing(&self) -> bool {
        match self {
            Self::Bare(io) => io.ends_by_closing(),
            Self::Stream(_) => false,
        }
    }
}

impl AsyncRead for TunnelIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Bare(io) => Pin::new(io).poll_read(cx, out),
            Self::Stream(io) => Pin::new(io.as_mut()).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for TunnelIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Bare(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Stream(io) => Pin::new(io.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Bare(io) => Pin::new(io).poll_flush(cx),
            Self::Stream(io) => Pin::new(io.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Bare(io) => Pin::new(io).poll_shutdown(cx),
            Self::Stream(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
        }
    }
}
