//! The write path: collected up to a bound, sent on flush, given up when the client stalls.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::GuardedStream;
use crate::listener::connection::Fault;
use crate::listener::limits::{BUFFER_BYTES, WRITE_STALL};

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedStream<S> {
    /// Answers on the bare connection and ends it.
    pub async fn answer_and_close(&mut self, bytes: &[u8]) {
        /// Time for a client to take a short answer, and to see it before the reset.
        const LINGER: Duration = Duration::from_secs(2);
        let io = &mut self.io;
        let answer = async {
            io.write_all(bytes).await?;
            io.shutdown().await?;
            // Closing with unread bytes would reset the connection and destroy the answer.
            let mut sink = [0; 1024];
            loop {
                let mut buffer = ReadBuf::new(&mut sink);
                poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, &mut buffer)).await?;
                if buffer.filled().is_empty() {
                    return io::Result::Ok(());
                }
            }
        };
        // The client may be gone already; either way the connection ends.
        drop(tokio::time::timeout(LINGER, answer).await);
        self.connection.count_sent(bytes.len());
        self.ended = true;
    }

    /// Ends a connection on which nothing is under way, so that its client knows that nothing was cut off.
    pub async fn say_goodbye(&mut self) {
        /// A client that takes nothing any more is not waited for.
        const PATIENCE: Duration = Duration::from_secs(1);
        // The client may be gone already; either way the connection ends.
        drop(tokio::time::timeout(PATIENCE, self.io.shutdown()).await);
        self.ended = true;
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) => {
                    self.writing = false;
                    self.connection.count_sent(sent);
                    self.unsent.advance(sent);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if !self.writing {
                        self.writing = true;
                        self.write_deadline.after(WRITE_STALL);
                    }
                    ready!(self.write_deadline.poll(cx));
                    self.connection.set_fault(Fault::Stalled);
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.unsent.len() + bytes.len() > BUFFER_BYTES && !self.unsent.is_empty() {
            ready!(self.poll_send(cx))?;
        }
        let step = bytes.len().min(BUFFER_BYTES);
        self.unsent.extend_from_slice(bytes.get(..step).unwrap_or_default());
        Poll::Ready(Ok(step))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
