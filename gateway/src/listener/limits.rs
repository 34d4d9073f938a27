//! Bounds on what a client may do with a connection, and the counts that hold them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Largest head of a request, request line included (Envoy's default).
pub const MAX_HEAD_BYTES: usize = 60 * 1024;
/// Most header fields of a request (Envoy's default).
pub const MAX_HEAD_FIELDS: usize = 100;
/// Longest name of a header field.
pub const MAX_NAME_BYTES: usize = 256;
/// Longest chunk extension or trailer section of a body.
pub const MAX_CHUNK_META_BYTES: usize = 8 * 1024;
/// What a connection keeps of unread bytes, and of unsent ones.
pub const BUFFER_BYTES: usize = 16 * 1024;
/// Longest wait for the next bytes of a body.
pub const BODY_IDLE: Duration = Duration::from_secs(60);
/// Longest wait for a client to take bytes.
pub const WRITE_STALL: Duration = Duration::from_secs(60);
/// Most requests of one connection.
pub const MAX_REQUESTS_PER_CONNECTION: u32 = 100_000;
/// Longest request body that is read to keep a connection after a local reply.
pub const MAX_DRAIN_BYTES: u64 = 64 * 1024;

/// The configurable ones, as a connection reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Bound on a whole head, from its first byte.
    pub head_timeout: Duration,
    /// Bound on the time without a request.
    pub idle_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { head_timeout: Duration::from_secs(10), idle_timeout: Duration::from_secs(60) }
    }
}

/// Shards of the per-client counts; a power of two.
const SHARDS: usize = 16;

/// Counts connections, in all and by client.
#[derive(Debug)]
pub struct ConnectionCounts {
    open: AtomicU32,
    refused: AtomicU64,
    max: AtomicU32,
    max_per_client: AtomicU32,
    clients: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
}

impl ConnectionCounts {
    /// Counts that admit `max` connections in all.
    pub fn new(max: u32, max_per_client: u32) -> Self {
        Self {
            open: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            max: AtomicU32::new(max),
            max_per_client: AtomicU32::new(max_per_client),
            clients: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Changes the bounds for connections to come; 0 per client is no bound.
    pub fn set_bounds(&self, max: u32, max_per_client: u32) {
        self.max.store(max, Ordering::Relaxed);
        self.max_per_client.store(max_per_client, Ordering::Relaxed);
    }

    /// Connections open now.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections refused so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts one more connection of this client, or refuses it.
    pub fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Admitted> {
        let open = self.open.fetch_add(1, Ordering::AcqRel);
        let per_client = self.max_per_client.load(Ordering::Relaxed);
        let admitted = open < self.max.load(Ordering::Relaxed) && (per_client == 0 || self.count(client, per_client));
        if !admitted {
            self.open.fetch_sub(1, Ordering::AcqRel);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Admitted { counts: Arc::clone(self), client: (per_client > 0).then_some(client) })
    }

    fn shard(&self, client: IpAddr) -> std::sync::MutexGuard<'_, HashMap<IpAddr, u32>> {
        let last = match client {
            IpAddr::V4(it) => it.octets()[3],
            IpAddr::V6(it) => it.octets()[15],
        };
        // The index is below the length, since it is taken modulo it.
        self.clients
            .get(usize::from(last) % SHARDS)
            .map(|it| it.lock().unwrap_or_else(PoisonError::into_inner))
            .expect("SHARDS is the length of the array")
    }

    fn count(&self, client: IpAddr, max: u32) -> bool {
        let mut shard = self.shard(client);
        let count = shard.entry(client).or_insert(0);
        if *count >= max {
            return false;
        }
        *count += 1;
        true
    }
}

/// One admitted connection; dropping it gives the place back.
#[derive(Debug)]
pub struct Admitted {
    counts: Arc<ConnectionCounts>,
    client: Option<IpAddr>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::AcqRel);
        let Some(client) = self.client else { return };
        let mut shard = self.counts.shard(client);
        if let Some(count) = shard.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&client);
            }
        }
    }
}

/// Half of the file descriptors of the process: each client may need one upstream.
pub fn default_max_connections() -> u32 {
    /// When the limit cannot be read.
    const FALLBACK: u32 = 10_000;
    let Ok(text) = std::fs::read_to_string("/proc/self/limits") else { return FALLBACK };
    let line = text.lines().find(|it| it.starts_with("Max open files"));
    let soft = line.and_then(|it| it.split_whitespace().nth(3));
    match soft.map(str::parse::<u64>) {
        Some(Ok(limit)) => u32::try_from(limit / 2).unwrap_or(u32::MAX),
        Some(Err(_)) | None => FALLBACK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let counts = Arc::new(ConnectionCounts::new(2, 1));
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|it| it.parse().unwrap());
        let first = counts.admit(a).unwrap();
        assert!(counts.admit(a).is_none(), "one per client");
        let second = counts.admit(b).unwrap();
        assert!(counts.admit("10.0.0.3".parse().unwrap()).is_none(), "two in all");
        drop((first, second));
        assert_eq!((counts.open(), counts.refused()), (0, 2));
        assert!(counts.admit(a).is_some());
    }
}
