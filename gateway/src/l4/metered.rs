//! Counts the bytes of a connection that somebody else reads and writes, and ends it when they are too many.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::relay::Meter;

/// A connection whose bytes are counted.
pub struct Metered<S> {
    io: S,
    read: Arc<Meter>,
    written: Arc<Meter>,
    /// Most bytes in each direction; no bound when absent.
    most: Option<u64>,
}

impl<S> Metered<S> {
    /// Counts what is read and what is written.
    pub fn new(io: S, (read, written): (Arc<Meter>, Arc<Meter>), most: Option<u64>) -> Self {
        Self { io, read, written, most }
    }

    fn admit(&self, meter: &Meter, bytes: usize) -> io::Result<()> {
        meter.count(bytes);
        let excess = self.most.is_some_and(|it| meter.bytes() > it);
        if excess { Err(io::Error::other("more than may pass")) } else { Ok(()) }
    }
}

impl<S> fmt::Debug for Metered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").field("read", &self.read).field("written", &self.written).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
        Poll::Ready(self.admit(&self.read, out.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        Poll::Ready(self.admit(&self.written, written).map(|()| written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use prometheus::IntCounter;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_are_counted_and_bounded() {
        let meter = || Arc::new(Meter::new(IntCounter::new("bytes", "Bytes.").unwrap()));
        let (read, written) = (meter(), meter());
        let (mut far, near) = duplex(64);
        let mut near = Metered::new(near, (Arc::clone(&read), Arc::clone(&written)), Some(5));
        far.write_all(b"hello").await.unwrap();
        let mut out = [0; 5];
        near.read_exact(&mut out).await.unwrap();
        near.write_all(b"abc").await.unwrap();
        assert_eq!((read.bytes(), written.bytes()), (5, 3));
        far.write_all(b"!").await.unwrap();
        assert!(near.read_u8().await.is_err(), "one more than may pass");
    }
}
