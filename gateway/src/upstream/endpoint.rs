//! One address of a cluster: where it stands, how busy it is, whether it may be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use super::address::Address;
use super::outlier::Record;

/// Where an endpoint stands, seen from this gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// 0 is used first; the next when too few of those before are usable.
    pub priority: u8,
    /// Index of the locality's share of the traffic, where shares are given out.
    pub share: Option<u16>,
}

/// One address of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// Where.
    pub address: Address,
    /// Share of the traffic; at least 1.
    pub weight: u32,
    /// Where it stands.
    pub place: Place,
    /// Since when it is known, if it came after the others; those warm up.
    pub joined: Option<Instant>,
    /// What happened to the requests to it.
    pub record: Record,
    active: AtomicU32,
    /// Whether the active health check found it unusable.
    failing: AtomicBool,
}

impl Endpoint {
    /// An endpoint without requests.
    pub fn new(address: Address, weight: u32, place: Place, joined: Option<Instant>) -> Self {
        Self {
            address,
            weight: weight.max(1),
            place,
            joined,
            record: Record::default(),
            active: AtomicU32::new(0),
            failing: AtomicBool::new(false),
        }
    }

    /// Requests under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether neither its own failures nor a health check speak against it.
    pub fn is_usable(&self) -> bool {
        !self.record.is_ejected() && !self.is_failing()
    }

    /// Whether the active health check found it unusable.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Notes what the active health check found; says whether that is news.
    pub fn set_failing(&self, failing: bool) -> bool {
        self.failing.swap(failing, Ordering::Relaxed) != failing
    }
}

/// One request under way at an endpoint; dropping it ends it.
#[derive(Debug)]
pub struct Lease(Arc<Endpoint>);

impl Lease {
    /// Counts a request at an endpoint.
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.active.fetch_add(1, Ordering::Relaxed);
        Self(endpoint)
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
