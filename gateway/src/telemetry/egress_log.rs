//! Remembers which destinations were refused, or would have been: what operators learn from.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use lru::LruCache;

/// Destinations that are remembered; those that were asked for longest ago are forgotten.
const MAX_KEPT: NonZeroUsize = NonZeroUsize::new(4096).expect("it is more than none");
/// Clients that are remembered of each.
const MAX_CLIENTS: usize = 8;

/// A destination, and what was said of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Host in its one form.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Code of the refusal.
    pub code: &'static str,
    /// Whether it passed all the same.
    pub passed: bool,
    /// Whether a tunnel was asked for.
    pub tunnel: bool,
}

/// How often, when and by whom.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How often.
    pub count: u64,
    /// The last time.
    pub last: SystemTime,
    /// Some of the clients.
    pub clients: Vec<IpAddr>,
}

/// What was refused, or would have been.
#[derive(Debug)]
pub struct EgressLog(Mutex<LruCache<Asked, Seen>>);

impl Default for EgressLog {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_KEPT)))
    }
}

impl EgressLog {
    /// Notes one.
    pub fn note(&self, asked: Asked, client: Option<IpAddr>, now: SystemTime) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = kept.get_or_insert_mut(asked, || Seen { count: 0, last: now, clients: Vec::new() });
        seen.count += 1;
        seen.last = now;
        let fresh = client.filter(|it| seen.clients.len() < MAX_CLIENTS && !seen.clients.contains(it));
        seen.clients.extend(fresh);
    }

    /// All of them, the latest first.
    pub fn all(&self) -> Vec<(Asked, Seen)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(asked, seen)| (asked.clone(), seen.clone())).collect()
    }
}
