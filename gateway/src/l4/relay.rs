//! Copies bytes between two connections until both sides are done, or nothing moves any more.
//!
//! Each direction ends on its own (half-close): a client that has sent everything still
//! gets its answer. A bound on silence and a bound on age end both.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

/// What is read at once, and kept for each direction, of a connection that carries much.
const BUFFER: usize = 32 * 1024;
/// The same of one that carries little.
const SMALL_BUFFER: usize = 1024;
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
    pub(super) fn count(&self, bytes: usize) {
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

/// Ties two connections together; `up` counts what goes from the first to the second.
pub async fn relay<A, B>(a: A, b: B, bounds: Bounds, (up, down): (&Meter, &Meter)) -> End
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (mut a_read, mut a_write) = tokio::io::split(a);
    let (mut b_read, mut b_write) = tokio::io::split(b);
    let begun = Instant::now();
    let moved = AtomicU64::new(0);
    let both = async {
        let there = one_way((&mut a_read, &mut b_write), up, (&moved, begun), bounds.bytes);
        let back = one_way((&mut b_read, &mut a_write), down, (&moved, begun), bounds.bytes);
        tokio::try_join!(there, back)
    };
    tokio::select! {
        result = both => match result {
            Ok(_) => End::Done,
            Err(_) => End::Broken,
        },
        () = silence(&moved, begun, bounds.idle) => End::Idle,
        () = age(bounds.age) => End::Aged,
    }
}

async fn one_way(
    (from, to): (&mut (impl AsyncRead + Unpin), &mut (impl AsyncWrite + Unpin)),
    meter: &Meter,
    (moved, begun): (&AtomicU64, Instant),
    most: Option<u64>,
) -> io::Result<()> {
    let mut buffer = vec![0; SMALL_BUFFER];
    let mut quiet = 0;
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let part = buffer.get(..read).unwrap_or_default();
        if most.is_some_and(|it| meter.bytes() + read as u64 > it) {
            return Err(io::Error::other("more than may pass"));
        }
        to.write_all(part).await?;
        to.flush().await?;
        meter.count(read);
        moved.store(millis(begun), Ordering::Relaxed);
        quiet = if read < SMALL_BUFFER { quiet + 1 } else { 0 };
        if read == buffer.len() {
            buffer.resize(BUFFER, 0);
        } else if quiet == QUIET {
            buffer = vec![0; SMALL_BUFFER];
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
    use tokio::io::duplex;

    use super::*;

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
        let (end, (asked, answered)) = tokio::join!(relay(a, b, FREE, (&up, &down)), talk);
        assert_eq!((end, asked.as_slice(), answered.as_slice()), (End::Done, &b"question"[..], &b"answer!"[..]));
        assert_eq!((up.bytes(), down.bytes()), (8, 7));
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
        let end = tokio::select! { end = relay(a, b, bounds, (&up, &down)) => end, () = talk => End::Done };
        assert_eq!((end, begun.elapsed().as_secs()), (End::Idle, 19));

        let ((_client, a), (b, _server)) = (duplex(64), duplex(64));
        let bounds = Bounds { age: Some(Duration::from_secs(5)), ..FREE };
        assert_eq!(relay(a, b, bounds, (&up, &down)).await, End::Aged);
    }
}
