//! One connection of a cluster: the requests on it, and when it takes no more of them.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::connections::Connections;

/// One connection, shared by the requests on it; dropped when its socket is closed.
#[derive(Debug)]
pub struct Connection {
    of: Arc<Connections>,
    number: u32,
    generation: u32,
    opened: Instant,
    requests: AtomicU32,
    /// Absent while it is being made, and where nobody closes it from outside its pool.
    handle: OnceLock<Arc<Handle>>,
}

/// A second handle of a connection's socket, by which it is closed from outside its pool.
#[derive(Debug)]
pub(super) struct Handle(OwnedFd);

impl Handle {
    /// Ends both directions; whoever works on it, and its pool, see the end and let go of it.
    pub(super) fn close(&self) {
        // One that is closed already is as good.
        socket2::SockRef::from(&self.0).shutdown(Shutdown::Both).unwrap_or_default();
    }
}

/// One request on a connection; dropping it ends the use.
#[derive(Debug)]
pub struct Use(Arc<Connection>);

impl Connection {
    /// A connection in a place of these, that is about to be made.
    pub(super) fn new(of: &Arc<Connections>, number: u32, now: Instant) -> Arc<Self> {
        let generation = of.generation();
        Arc::new(Self {
            of: Arc::clone(of),
            number,
            generation,
            opened: now,
            requests: AtomicU32::new(0),
            handle: OnceLock::new(),
        })
    }

    /// Learns the second handle, by which it can be closed from outside its pool.
    pub(super) fn made(&self, socket: &impl AsFd) -> io::Result<()> {
        if !self.of.is_listed() && !self.of.is_cuttable() {
            return Ok(());
        }
        let second = Arc::new(Handle(socket.as_fd().try_clone_to_owned()?));
        self.of.change(self.number, |it| it.handle = Some(Arc::clone(&second)));
        self.handle.get_or_init(|| second);
        Ok(())
    }

    /// Ends it with whatever is under way on it; nothing where it was made before that was wanted.
    pub fn cut(&self) {
        if let Some(handle) = self.handle.get() {
            handle.close();
        }
    }

    /// Counts a request on it; [`Unusable::Closing`] when it is spent, or was told to close while it lay in its pool.
    pub fn begin(self: &Arc<Self>, now: impl Fn() -> Instant) -> Result<Use, Unusable> {
        let mut closing = false;
        if self.of.rotates && self.is_spent(now) {
            self.of.turn_over(self.generation);
            let was_made_for_this = self.requests.load(Ordering::Relaxed) == 0;
            self.of.change(self.number, |it| {
                it.users = it.users.saturating_sub(u32::from(was_made_for_this));
                if it.users == 0 {
                    it.close();
                }
            });
            return Err(Unusable::Closing);
        }
        // The first use is the one that it was made for, which counts since then.
        if self.requests.fetch_add(1, Ordering::Relaxed) > 0 {
            self.of.change(self.number, |it| {
                closing = it.closing;
                it.users += u32::from(!closing);
            });
        }
        if closing { Err(Unusable::Closing) } else { Ok(Use(Arc::clone(self))) }
    }

    /// Whether no request shall follow those that it had.
    pub fn is_spent(&self, now: impl Fn() -> Instant) -> bool {
        (self.of.most > 0 && self.requests.load(Ordering::Relaxed) >= self.of.most)
            || self.of.oldest.is_some_and(|it| now().saturating_duration_since(self.opened) >= it)
            || self.generation != self.of.generation()
    }
}

impl Use {
    /// The connection.
    pub fn of(&self) -> &Arc<Connection> {
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
        of.change(self.0.number, |it| {
            it.users = it.users.saturating_sub(1);
            if it.users == 0 && it.generation != of.generation() {
                it.close();
            }
        });
        if of.is_bounded() {
            of.freed.notify_one();
        }
    }
}

/// Why a connection that is there cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// It is spent, or another needs its place; the next connection will do.
    Closing,
    /// The server's certificate was revoked.
    Revoked,
}
