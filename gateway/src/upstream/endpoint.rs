//! One address of a cluster, and how busy it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::address::Address;

/// One address of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// Where.
    pub address: Address,
    /// Share of the traffic; at least 1.
    pub weight: u32,
    active: AtomicU32,
}

impl Endpoint {
    /// An endpoint without requests.
    pub fn new(address: Address, weight: u32) -> Self {
        Self { address, weight: weight.max(1), active: AtomicU32::new(0) }
    }

    /// Requests under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
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
