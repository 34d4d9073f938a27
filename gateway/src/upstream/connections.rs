//! Counts the connections of a cluster, and holds `maxConnections` however many workers ask.
//!
//! Each worker has a pool of its own, so a bound on connections has to reach over pools: a
//! connection counts from before it is made until its socket is closed, in use or not. Who
//! needs one while all are taken asks for an unused connection of another pool to be closed.
//! Requests of HTTP/1.1 wait for their turn before they look into their pool, first come
//! first served and within the bound on waiting, so that a connection goes from one request
//! to the next. Clusters without a bound pay for a counter only.

use std::io;
use std::net::{Shutdown, TcpStream as SyncStream};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::definition::{Definition, Protocol};
use super::limits::{Limits, Load};

/// The connections of one cluster, in all workers.
#[derive(Debug)]
pub struct Connections {
    limit: u32,
    open: Mutex<Vec<Open>>,
    /// Somebody may go on: a connection is closed, or not in use any more.
    freed: Notify,
    number: AtomicU32,
    /// One permit for each request of HTTP/1.1 that may have a connection, where they are bounded.
    turns: Option<Arc<Semaphore>>,
}

/// The right of one request to a connection; nothing where connections are not bounded.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "its drop is what counts")] Option<OwnedSemaphorePermit>);

/// One connection under a bound.
#[derive(Debug)]
struct Open {
    number: u32,
    /// A second handle, to close it from outside its pool; absent while it is being made.
    handle: Option<SyncStream>,
    users: u32,
    /// It was told to close already.
    closing: bool,
}

/// One connection, shared by the requests on it; dropped when its socket is closed.
#[derive(Debug)]
pub struct Connection {
    of: Arc<Connections>,
    number: u32,
    opened: Instant,
    requests: AtomicU32,
}

/// One request on a connection; dropping it ends the use.
#[derive(Debug)]
pub struct Use(Arc<Connection>);

impl Connections {
    /// None yet.
    pub fn new(definition: &Definition) -> Self {
        let limit = definition.limits.connections;
        let shares_connections = match definition.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 | Protocol::Client => true,
        };
        let turns = (limit != u32::MAX && !shares_connections)
            .then(|| Arc::new(Semaphore::new((limit as usize).min(Semaphore::MAX_PERMITS))));
        Self { turns, limit, open: Mutex::default(), freed: Notify::new(), number: AtomicU32::new(0) }
    }

    fn is_bounded(&self) -> bool {
        self.limit != u32::MAX
    }

    /// Whether every connection that may be is in use.
    pub fn is_full(&self) -> bool {
        self.is_bounded() && self.locked().iter().filter(|it| it.users > 0).count() >= self.limit as usize
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, or tells an unused connection to close.
    fn try_take(&self) -> Option<u32> {
        let mut open = self.locked();
        if open.len() < self.limit as usize {
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            open.push(Open { number, handle: None, users: 1, closing: false });
            return Some(number);
        }
        if let Some(unused) = open.iter_mut().find(|it| it.users == 0 && !it.closing)
            && let Some(handle) = &unused.handle
        {
            // Its pool sees the end and lets go of it; one that is closed already is as good.
            handle.shutdown(Shutdown::Both).unwrap_or_default();
            unused.closing = true;
        }
        None
    }

    /// Waits until a request may have a connection; [`Overflow`] when too many wait already.
    pub async fn turn(&self, load: &Arc<Load>, limits: &Limits) -> Result<Turn, Overflow> {
        let Some(turns) = &self.turns else { return Ok(Turn(None)) };
        if let Ok(permit) = Arc::clone(turns).try_acquire_owned() {
            return Ok(Turn(Some(permit)));
        }
        let _waiting = load.pending(limits).ok_or(Overflow)?;
        // Fails only when the semaphore is closed, which nobody does.
        Ok(Turn(Arc::clone(turns).acquire_owned().await.ok()))
    }

    /// A place for one connection.
    async fn take(&self, load: &Arc<Load>, limits: &Limits) -> Option<u32> {
        if !self.is_bounded() {
            return Some(self.number.fetch_add(1, Ordering::Relaxed));
        }
        let mut waiting = None;
        loop {
            let mut freed = pin!(self.freed.notified());
            // Registered before looking, or what is freed in between would be missed.
            freed.as_mut().enable();
            if let Some(number) = self.try_take() {
                return Some(number);
            }
            if waiting.is_none() {
                waiting = Some(load.pending(limits)?);
            }
            freed.await;
        }
    }

    /// A connection in a place; the place is free again when it is dropped, however that happens.
    pub(super) async fn open(self: &Arc<Self>, load: &Arc<Load>, limits: &Limits) -> Option<Arc<Connection>> {
        let number = self.take(load, limits).await?;
        Some(Arc::new(Connection { of: Arc::clone(self), number, opened: Instant::now(), requests: AtomicU32::new(0) }))
    }

    fn change(&self, number: u32, change: impl FnOnce(&mut Open)) {
        if self.is_bounded()
            && let Some(it) = self.locked().iter_mut().find(|it| it.number == number)
        {
            change(it);
        }
    }

    fn remove(&self, number: u32) {
        if self.is_bounded() {
            self.locked().retain(|it| it.number != number);
            self.freed.notify_one();
        }
    }
}

impl Connection {
    /// Learns the second handle, by which it can be closed from outside its pool.
    pub(super) fn made(&self, stream: TcpStream) -> io::Result<TcpStream> {
        if !self.of.is_bounded() {
            return Ok(stream);
        }
        let stream = stream.into_std()?;
        let second = stream.try_clone()?;
        self.of.change(self.number, |it| it.handle = Some(second));
        TcpStream::from_std(stream)
    }

    /// Counts a request on it; [`Closing`] when it was told to close while it lay in its pool.
    pub fn begin(self: &Arc<Self>) -> Result<Use, Closing> {
        let mut closing = false;
        // The first use is the one that it was made for, which counts since then.
        if self.requests.fetch_add(1, Ordering::Relaxed) > 0 {
            self.of.change(self.number, |it| {
                closing = it.closing;
                it.users += u32::from(!closing);
            });
        }
        if closing { Err(Closing) } else { Ok(Use(Arc::clone(self))) }
    }

    /// Whether the request on it shall be its last.
    pub fn is_spent(&self, definition: &Definition, now: impl Fn() -> Instant) -> bool {
        let (most, oldest) = (definition.pool.max_requests, definition.pool.max_age);
        (most > 0 && self.requests.load(Ordering::Relaxed) >= most)
            || oldest.is_some_and(|it| now().saturating_duration_since(self.opened) >= it)
    }
}

impl Use {
    /// The connection.
    pub fn of(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.of.remove(self.number);
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let of = &self.0.of;
        of.change(self.0.number, |it| it.users = it.users.saturating_sub(1));
        if of.is_bounded() {
            of.freed.notify_one();
        }
    }
}

/// Why a connection cannot be used: another needs its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing;

/// Why no connection was made although an endpoint is there: too many wait already.
#[derive(Debug)]
pub struct Overflow;

impl std::fmt::Display for Overflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many requests wait for a connection")
    }
}

impl std::error::Error for Overflow {}
