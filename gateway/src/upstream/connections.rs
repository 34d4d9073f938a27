//! Counts the connections of a cluster, and holds `maxConnections` however many workers ask.
//!
//! Each worker has a pool of its own, so a bound on connections has to reach over pools: a
//! connection counts from before it is made until its socket is closed, in use or not. Who
//! needs one while all are taken asks for an unused connection of another pool to be closed.
//! Requests of HTTP/1.1 wait for their turn before they look into their pool, first come
//! first served and within the bound on waiting, so that a connection goes from one request
//! to the next. Clusters without a bound pay for a counter only.
//!
//! A connection of HTTP/2 cannot be told with a request that it is the last. Where its age or
//! its requests are bounded, whoever finds it spent begins a new generation of connections;
//! those of older ones get no more requests and are closed when the last of theirs has ended.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::connection::{Connection, Handle};
use super::definition::{Definition, Protocol};
use super::limits::{Limits, Load};

/// The connections of one cluster, in all workers.
#[derive(Debug)]
pub struct Connections {
    limit: u32,
    /// Requests of one connection; 0 is no bound.
    pub(super) most: u32,
    /// Age at which a connection gets no more requests.
    pub(super) oldest: Option<Duration>,
    /// Whether spent connections are left for those of a new generation.
    pub(super) rotates: bool,
    /// Whether single ones may be cut, for which each keeps a handle.
    cuttable: AtomicBool,
    generation: AtomicU32,
    open: Mutex<Vec<Open>>,
    /// Somebody may go on: a connection is closed, or not in use any more.
    pub(super) freed: Notify,
    number: AtomicU32,
    /// One permit for each request of HTTP/1.1 that may have a connection, where they are bounded.
    turns: Option<Arc<Semaphore>>,
}

/// The right of one request to a connection; nothing where connections are not bounded.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "its drop is what counts")] Option<OwnedSemaphorePermit>);

/// One connection under a bound.
#[derive(Debug)]
pub(super) struct Open {
    number: u32,
    /// A second handle, to close it from outside its pool; absent while it is being made.
    pub(super) handle: Option<Arc<Handle>>,
    pub(super) users: u32,
    /// It was told to close already.
    pub(super) closing: bool,
    pub(super) generation: u32,
}

impl Open {
    /// Tells it to close; its pool sees the end and lets go of it.
    pub(super) fn close(&mut self) {
        if let Some(handle) = self.handle.as_ref().filter(|_| !self.closing) {
            handle.close();
            self.closing = true;
        }
    }
}

impl Connections {
    /// None yet.
    pub fn new(definition: &Definition) -> Self {
        let limit = definition.limits.connections;
        let shares_connections = match definition.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 | Protocol::Client | Protocol::Negotiated => true,
        };
        let turns = (limit != u32::MAX && !shares_connections)
            .then(|| Arc::new(Semaphore::new((limit as usize).min(Semaphore::MAX_PERMITS))));
        let (most, oldest) = (definition.pool.max_requests, definition.pool.max_age);
        Self {
            turns,
            limit,
            most,
            oldest,
            rotates: shares_connections && (most > 0 || oldest.is_some()),
            cuttable: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            open: Mutex::default(),
            freed: Notify::new(),
            number: AtomicU32::new(0),
        }
    }

    /// Which connections get requests now; those of other generations must not be found.
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Begins the next generation after `spent`, if nobody did yet.
    pub(super) fn turn_over(&self, spent: u32) {
        let next = spent.wrapping_add(1);
        if self.generation.compare_exchange(spent, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.locked().iter_mut().filter(|it| it.users == 0 && it.generation != next).for_each(Open::close);
        }
    }

    /// From now on every connection that gets a request can be cut.
    pub fn make_cuttable(&self) {
        if !self.is_cuttable() && !self.cuttable.swap(true, Ordering::Relaxed) {
            // Those that were made before keep no handle, so they are left to their requests.
            self.turn_over(self.generation());
        }
    }

    pub(super) fn is_cuttable(&self) -> bool {
        self.cuttable.load(Ordering::Relaxed)
    }

    /// Whether their number is bounded.
    pub fn is_bounded(&self) -> bool {
        self.limit != u32::MAX
    }

    /// Whether connections are closed from outside their pools, for which they must be known.
    pub(super) fn is_listed(&self) -> bool {
        self.is_bounded() || self.rotates
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
            open.push(Open { number, handle: None, users: 1, closing: false, generation: self.generation() });
            return Some(number);
        }
        if let Some(unused) = open.iter_mut().find(|it| it.users == 0 && !it.closing) {
            unused.close();
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
        if !self.is_listed() {
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
        Some(Connection::new(self, number, Instant::now()))
    }

    pub(super) fn change(&self, number: u32, change: impl FnOnce(&mut Open)) {
        if self.is_listed()
            && let Some(it) = self.locked().iter_mut().find(|it| it.number == number)
        {
            change(it);
        }
    }

    pub(super) fn remove(&self, number: u32) {
        if self.is_listed() {
            self.locked().retain(|it| it.number != number);
            self.freed.notify_one();
        }
    }
}

/// Why no connection was made although an endpoint is there: too many wait already.
#[derive(Debug)]
pub struct Overflow;

impl std::fmt::Display for Overflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many requests wait for a connection")
    }
}

impl std::error::Error for Overflow {}
