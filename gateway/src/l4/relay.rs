//! Copies bytes between two connections until both sides are done, or nothing moves any more.
//!
//! Each direction ends on its own (half-close): a client that has sent everything still
//! gets its answer. A bound on silence and a bound on age end both.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What is read at once, and kept for each direction, of a connection that carries much.
const BUFFER: usize = 32 * 1024;
/// What is read at once of one that carries little, for which nothing is kept.
const SMALL_READ: usize = 1024;
/// Small reads in a row after which a connection carries little.
const QUIET: u32 = 16;

/// How long two connections stay tied together.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Longest time without a byte in either direction; no bound when absent.
    pub idle: Option<Duration>,
    /// Longest time at all; no bound when absent.
    pub age: Option<Duration>,
    /// Most bytes in each direction; no bound when absent.
    pub bytes: Option<u64>,
}

/// Bytes of one direction.
#[derive(Debug)]
pub struct Meter {
    /// Of this connection.
    bytes: AtomicU64,
    /// Of all connections.
    total: IntCounter,
}

impl Meter {
    /// Counts into `total`.
    pub fn new(total: IntCounter) -> Self {
        Self { bytes: AtomicU64::new(0), total }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes that passed.
    pub fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.total.inc_by(bytes as u64);
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides were done.
    Done,
    /// One side broke.
    Broken,
    /// Nothing moved for too long.
    Idle,
    /// It was too old.
    Aged,
}

/// What bytes are carried over.
pub trait Carrier: AsyncRead + AsyncWrite + Unpin {
    /// Whether closing it tells the other side as much as shutting it down would, once that side has said its end.
    fn ends_by_closing(&self) -> bool;
}

impl Carrier for TcpStream {
    fn ends_by_closing(&self) -> bool {
        true
    }
}

/// Ties two connections together; `up` counts what goes from the first to the second.
///
/// Whoever calls closes both afterwards.
pub async fn relay(a: &mut impl Carrier, b: &mut impl Carrier, bounds: Bounds, (up, down): (&Meter, &Meter)) -> End {
    let begun = Instant::now();
    let moved = AtomicU64::new(0);
    let (mut there, mut back) = (OneWay::new(up, bounds.bytes), OneWay::new(down, bounds.bytes));
    let both = poll_fn(|cx| {
        let before = up.bytes() + down.bytes();
        let first = there.poll(cx, (a, b), back.is_over())?;
        let second = back.poll(cx, (b, a), there.is_over())?;
        if up.bytes() + down.bytes() > before {
            moved.store(millis(begun), Ordering::Relaxed);
        }
        if first.is_ready() && second.is_ready() { Poll::Ready(io::Result::Ok(())) } else { Poll::Pending }
    });
    tokio::select! {
        result = both => match result {
            Ok(()) => End::Done,
            Err(_) => End::Broken,
        },
        () = silence(&moved, begun, bounds.idle) => End::Idle,
        () = age(bounds.age) => End::Aged,
    }
}

/// What a direction does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Read,
    Write,
    Flush,
    Close,
    Over,
}

/// One direction, and what was read of it and is not written yet.
struct OneWay<'a> {
    meter: &'a Meter,
    most: Option<u64>,
    step: Step,
    /// Empty while the connection carries little, but for what could not be written at once.
    buffer: Vec<u8>,
    /// Part of the buffer that is to be written: what is written of it, and where it ends.
    part: (usize, usize),
    /// Small reads in a row.
    quiet: u32,
}

impl<'a> OneWay<'a> {
    fn new(meter: &'a Meter, most: Option<u64>) -> Self {
        Self { meter, most, step: Step::Read, buffer: Vec::new(), part: (0, 0), quiet: 0 }
    }

    fn is_over(&self) -> bool {
        self.step == Step::Over
    }

    /// Goes on until it has to wait; `is_last` when the other direction is over.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut impl Carrier, &mut impl Carrier),
        is_last: bool,
    ) -> Poll<io::Result<()>> {
        loop {
            self.step = match self.step {
                Step::Read if self.buffer.is_empty() => ready!(self.pass(cx, (from, to)))?,
                Step::Read => ready!(self.read(cx, from))?,
                Step::Write => ready!(self.write(cx, to))?,
                Step::Flush => {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    self.note();
                    Step::Read
                }
                // Both connections are about to be closed.
                Step::Close if is_last && to.ends_by_closing() => Step::Over,
                Step::Close => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    Step::Over
                }
                Step::Over => return Poll::Ready(Ok(())),
            };
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, from: &mut impl Carrier) -> Poll<io::Result<Step>> {
        let mut into = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(from).poll_read(cx, &mut into))?;
        let read = into.filled().len();
        self.part = (0, read);
        Poll::Ready(self.next(read))
    }

    /// Reads and writes in one go, so that a connection that waits keeps no room for what may come.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut impl Carrier, &mut impl Carrier),
    ) -> Poll<io::Result<Step>> {
        let mut room = [MaybeUninit::uninit(); SMALL_READ];
        let mut into = ReadBuf::uninit(&mut room);
        ready!(Pin::new(from).poll_read(cx, &mut into))?;
        let read = into.filled();
        let next = self.next(read.len())?;
        if next == Step::Write {
            let written = match Pin::new(to).poll_write(cx, read) {
                Poll::Ready(it) => it?,
                Poll::Pending => 0,
            };
            self.part = (written, read.len());
            if written < read.len() {
                self.buffer.extend_from_slice(read);
            }
        }
        Poll::Ready(Ok(next))
    }

    /// What follows on a read of so many bytes.
    fn next(&self, read: usize) -> io::Result<Step> {
        if self.most.is_some_and(|it| self.meter.bytes() + read as u64 > it) {
            return Err(io::Error::other("more than may pass"));
        }
        Ok(if read == 0 { Step::Close } else { Step::Write })
    }

    fn write(&mut self, cx: &mut Context<'_>, to: &mut impl Carrier) -> Poll<io::Result<Step>> {
        while self.part.0 < self.part.1 {
            let rest = self.buffer.get(self.part.0..self.part.1).unwrap_or_default();
            match ready!(Pin::new(&mut *to).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.part.0 += written,
            }
        }
        Poll::Ready(Ok(Step::Flush))
    }

    /// Counts what has passed, and makes room for as much as comes.
    fn note(&mut self) {
        let passed = self.part.1;
        self.meter.count(passed);
        self.quiet = if passed < SMALL_READ { self.quiet.saturating_add(1) } else { 0 };
        let carried_much = self.buffer.len() == BUFFER;
        let carries_much = self.quiet == 0 || (carried_much && self.quiet < QUIET);
        if !carries_much {
            self.buffer = Vec::new();
        } else if !carried_much {
            self.buffer = vec![0; BUFFER];
        }
    }
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Ends when nothing moved for `idle`.
async fn silence(moved: &AtomicU64, begun: Instant, idle: Option<Duration>) {
    let Some(idle) = idle else { return std::future::pending().await };
    loop {
        let due = begun + Duration::from_millis(moved.load(Ordering::Relaxed)) + idle;
        if Instant::now() >= due {
            return;
        }
        tokio::time::sleep_until(due).await;
    }
}

/// Ends when a connection is too old.
pub async fn age(bound: Option<Duration>) {
    match bound {
        Some(bound) => tokio::time::sleep(bound).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// Ties them together and closes both.
    async fn tie(mut a: impl Carrier, mut b: impl Carrier, bounds: Bounds, meters: (&Meter, &Meter)) -> End {
        relay(&mut a, &mut b, bounds, meters).await
    }

    impl Carrier for DuplexStream {
        fn ends_by_closing(&self) -> bool {
            false
        }
    }

    fn meter() -> Meter {
        Meter::new(IntCounter::new("bytes", "Bytes.").unwrap())
    }

    const FREE: Bounds = Bounds { idle: None, age: None, bytes: None };

    #[tokio::test]
    async fn one_side_may_end_before_the_other() {
        let ((mut client, a), (b, mut server)) = (duplex(64), duplex(64));
        let (up, down) = (meter(), meter());
        let talk = async {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut asked = Vec::new();
            server.read_to_end(&mut asked).await.unwrap();
            server.write_all(b"answer!").await.unwrap();
            drop(server);
            let mut answered = Vec::new();
            client.read_to_end(&mut answered).await.unwrap();
            (asked, answered)
        };
        let (end, (asked, answered)) = tokio::join!(tie(a, b, FREE, (&up, &down)), talk);
        assert_eq!((end, asked.as_slice(), answered.as_slice()), (End::Done, &b"question"[..], &b"answer!"[..]));
        assert_eq!((up.bytes(), down.bytes()), (8, 7));
    }

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn sockets_that_are_only_closed_get_everything_and_an_end() {
        let ((mut client, a), (b, mut server)) = (sockets().await, sockets().await);
        let (up, down) = (meter(), meter());
        let answer = vec![7; 4 << 20];
        let asks = async {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut answered = Vec::new();
            client.read_to_end(&mut answered).await.unwrap();
            answered
        };
        let answers = async {
            let mut asked = Vec::new();
            server.read_to_end(&mut asked).await.unwrap();
            server.write_all(&answer).await.unwrap();
            drop(server);
            asked
        };
        let (end, answered, asked) = tokio::join!(tie(a, b, FREE, (&up, &down)), asks, answers);
        assert_eq!((end, asked.as_slice()), (End::Done, &b"question"[..]));
        assert!(answered == answer, "{} bytes", answered.len());
        assert_eq!((up.bytes(), down.bytes()), (8, answer.len() as u64));
    }

    #[tokio::test]
    async fn what_cannot_be_written_at_once_is_kept() {
        let ((mut client, a), (b, mut server)) = (duplex(4096), duplex(64));
        let (up, down) = (meter(), meter());
        let said: Vec<u8> = (0..40_000_u32).map(|it| (it % 251) as u8).collect();
        let says = async {
            // Short enough to be read with nothing kept, and too long to be written in one go.
            for part in said.chunks(SMALL_READ - 24) {
                client.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let hears = async {
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            drop(server);
            heard
        };
        let (_, (), heard) = tokio::join!(tie(a, b, FREE, (&up, &down)), says, hears);
        assert!(heard == said, "{} bytes", heard.len());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_age_end_both() {
        let ((mut client, a), (b, _server)) = (duplex(64), duplex(64));
        let (up, down) = (meter(), meter());
        let begun = Instant::now();
        let talk = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            client.write_all(b"still here").await.unwrap();
            std::future::pending::<()>().await;
        };
        let bounds = Bounds { idle: Some(Duration::from_secs(10)), ..FREE };
        let end = tokio::select! { end = tie(a, b, bounds, (&up, &down)) => end, () = talk => End::Done };
        assert_eq!((end, begun.elapsed().as_secs()), (End::Idle, 19));

        let ((_client, a), (b, _server)) = (duplex(64), duplex(64));
        let bounds = Bounds { age: Some(Duration::from_secs(5)), ..FREE };
        assert_eq!(tie(a, b, bounds, (&up, &down)).await, End::Aged);
    }
}
