//! The byte stream of a client's connection, with the guard of HTTP/1.1 in its read path.
//!
//! [`GuardedStream::read_head`] collects and judges a whole head before the parser behind
//! sees a byte of it; then reads give exactly that message, and nothing of the next.
//! Writes are collected up to [`BUFFER_BYTES`] and sent on flush, so that head and body of a
//! small response leave in one segment. Buffers are given back while a connection idles.

mod deadline;
mod digest;
mod write;

use std::future::{Future as _, poll_fn};
use std::io;
use std::os::fd::RawFd;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use crate::listener::connection::{Connection, Fault};
use crate::listener::http1::body::BodyReader;
use crate::listener::http1::head;
use crate::listener::limits::{BODY_IDLE, BUFFER_BYTES, MAX_HEAD_BYTES};
use crate::local_reply::Reason;
use deadline::Deadline;
use digest::Digests;

/// What an HTTP/2 client sends first (RFC 9113 §3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Space for one read; most heads fit.
const FIRST_READ: usize = 4 * 1024;

/// How the guard treats the bytes it reads.
#[derive(Debug)]
enum Mode {
    /// Between requests: nothing passes until a head was judged.
    Waiting,
    /// A judged message: `head` more bytes of its head, then its body.
    Message { head: usize, body: BodyReader },
    /// Everything passes: HTTP/2.
    Open,
}

/// What came when a request was waited for.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A judged HTTP/1.1 head.
    Request,
    /// The preface of HTTP/2.
    H2,
    /// Nothing more will come, and nobody waits for an answer.
    Gone,
    /// A head that is refused.
    Refused(Reason),
}

/// A client's byte stream behind the guard.
pub struct GuardedStream<S> {
    io: S,
    connection: Arc<Connection>,
    /// Its socket, where it has one of its own.
    socket: Option<RawFd>,
    digests: OnceLock<Digests>,
    mode: Mode,
    unread: BytesMut,
    unsent: BytesMut,
    read_deadline: Deadline,
    write_deadline: Deadline,
    reading: bool,
    writing: bool,
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedStream<S> {
    /// Guards a connection that was just accepted, by this `socket` if it has one of its own.
    pub fn new(io: S, connection: Arc<Connection>, socket: Option<RawFd>) -> Self {
        Self {
            io,
            connection,
            socket,
            digests: OnceLock::new(),
            mode: Mode::Waiting,
            unread: BytesMut::new(),
            unsent: BytesMut::new(),
            read_deadline: Deadline::new(),
            write_deadline: Deadline::new(),
            reading: false,
            writing: false,
            ended: false,
        }
    }

    /// The bare connection for a tunnel, and what was read of it behind the head.
    pub fn into_inside(self) -> (S, Bytes) {
        (self.io, self.unread.freeze())
    }

    /// Whether the head that was judged asks for a tunnel.
    pub fn asks_for_tunnel(&self) -> bool {
        matches!(self.mode, Mode::Message { .. }) && self.unread.starts_with(b"CONNECT ")
    }

    /// The head that was judged; nobody reads it from the stream any more.
    pub fn take_head(&mut self) -> BytesMut {
        match &mut self.mode {
            Mode::Message { head, .. } => self.unread.split_to(std::mem::take(head)),
            Mode::Waiting | Mode::Open => BytesMut::new(),
        }
    }

    /// What is known of the connection.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Waits for the next request: its whole head within `head_timeout` of its first byte,
    /// the first byte within `idle_timeout`.
    pub async fn read_head(&mut self, idle_timeout: Duration, head_timeout: Duration) -> Arrival {
        self.mode = Mode::Waiting;
        if self.unread.is_empty() {
            // An idle connection keeps no buffers.
            self.unread = BytesMut::new();
            self.unsent = BytesMut::new();
        }
        let mut searched = 0;
        self.read_deadline.after(if self.unread.is_empty() { idle_timeout } else { head_timeout });
        loop {
            if let Some(arrival) = self.judge(&mut searched) {
                return arrival;
            }
            let first_byte = self.unread.is_empty();
            match poll_fn(|cx| self.poll_fill(cx)).await {
                Ok(0) => return Arrival::Gone,
                Ok(_) if first_byte => self.read_deadline.after(head_timeout),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut && !first_byte => {
                    return Arrival::Refused(Reason::HeadTimeout);
                }
                Err(_) => return Arrival::Gone,
            }
        }
    }

    /// Decides about what has arrived so far.
    fn judge(&mut self, searched: &mut usize) -> Option<Arrival> {
        let start = self.unread.len().min(H2_PREFACE.len());
        let is_preface = start > 0 && H2_PREFACE.get(..start) == self.unread.get(..start);
        if is_preface {
            if start < H2_PREFACE.len() {
                return None;
            }
            self.mode = Mode::Open;
            return Some(Arrival::H2);
        }
        let seen = *searched;
        let Some(length) = head::end(&self.unread, searched) else {
            let fresh = self.unread.get(seen.saturating_sub(1)..).unwrap_or_default();
            // The last byte may be the first half of a line end.
            let settled = fresh.strip_suffix(b"\r").unwrap_or(fresh);
            if head::is_hopeless(
                settled.get(usize::from(seen > 0 && settled.first() == Some(&b'\n'))..).unwrap_or_default(),
            ) {
                return Some(Arrival::Refused(Reason::MalformedHead));
            }
            return (self.unread.len() >= MAX_HEAD_BYTES).then_some(Arrival::Refused(Reason::HeadTooLarge));
        };
        if length > MAX_HEAD_BYTES {
            return Some(Arrival::Refused(Reason::HeadTooLarge));
        }
        Some(match head::judge(self.unread.get(..length).unwrap_or_default(), self.connection.role) {
            Ok(framing) => {
                self.mode = Mode::Message { head: length, body: BodyReader::new(framing) };
                Arrival::Request
            }
            Err(reason) => Arrival::Refused(reason),
        })
    }

    /// Reads more into `unread` until the deadline; 0 is the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = self.poll_more(cx) {
            return Poll::Ready(result);
        }
        ready!(self.read_deadline.poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads more into `unread`, however long that takes.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = (MAX_HEAD_BYTES + 1).saturating_sub(self.unread.len()).clamp(1, BUFFER_BYTES);
        self.unread.reserve(FIRST_READ.min(room));
        let mut space = (&mut self.unread).limit(room);
        let read = ready!(pin!(self.io.read_buf(&mut space)).poll(cx))?;
        self.connection.count_received(read);
        Poll::Ready(Ok(read))
    }

    fn poll_message(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.give(out)? {
                self.reading = false;
                return Poll::Ready(Ok(()));
            }
            let finished = matches!(&self.mode, Mode::Message { head: 0, body } if body.is_done());
            if finished && self.connection.is_upgraded() {
                self.mode = Mode::Open;
                return self.poll_open(cx, out);
            }
            if finished && self.unread.len() >= BUFFER_BYTES {
                // A pipelined request is held back; its sender waits.
                return Poll::Pending;
            }
            if !self.reading {
                self.reading = true;
                self.read_deadline.after(BODY_IDLE);
            }
            match self.poll_fill_body(cx, finished) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Passes everything: HTTP/2, or the bytes after an upgrade.
    fn poll_open(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let step = out.remaining().min(self.unread.len());
            out.put_slice(self.unread.get(..step).unwrap_or_default());
            self.unread.advance(step);
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
        self.connection.count_received(out.filled().len() - before);
        Poll::Ready(Ok(()))
    }

    /// As [`Self::poll_fill`], but after a complete message the client owes nothing more.
    fn poll_fill_body(&mut self, cx: &mut Context<'_>, finished: bool) -> Poll<io::Result<usize>> {
        if finished {
            return self.poll_more(cx);
        }
        match ready!(self.poll_fill(cx)) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.connection.set_fault(Fault::Idle);
                Poll::Ready(Err(error))
            }
            other => {
                self.read_deadline.after(BODY_IDLE);
                Poll::Ready(other)
            }
        }
    }

    /// Moves what belongs to the message into `out`; false when there is nothing at hand.
    fn give(&mut self, out: &mut ReadBuf<'_>) -> io::Result<bool> {
        let Mode::Message { head, body } = &mut self.mode else { return Ok(false) };
        let room = out.remaining();
        if *head > 0 {
            let step = room.min(*head);
            out.put_slice(self.unread.get(..step).unwrap_or_default());
            self.unread.advance(step);
            *head -= step;
            return Ok(step > 0);
        }
        let available = self.unread.get(..room.min(self.unread.len())).unwrap_or_default();
        let Ok(step) = body.admit(available) else {
            self.connection.set_fault(Fault::Malformed);
            return Err(io::ErrorKind::InvalidData.into());
        };
        out.put_slice(self.unread.get(..step).unwrap_or_default());
        self.unread.advance(step);
        Ok(step > 0)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match this.mode {
            Mode::Waiting => Poll::Ready(Ok(())),
            Mode::Message { .. } => this.poll_message(cx, out),
            Mode::Open => this.poll_open(cx, out),
        }
    }
}

#[cfg(test)]
mod tests;
