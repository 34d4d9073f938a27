//! Bounds what a cluster is asked at once (Istio's `connectionPool`, Envoy's circuit breakers).
//!
//! The counters belong to the cluster, so they hold across all workers. Whoever is over a
//! bound is refused at once with 503 `UO`; nobody is queued without a bound. Retries have a
//! budget of their own, in proportion to the requests under way: it bounds how often a
//! request is worked on, so a try that reached no endpoint costs nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Bounds of a cluster; `u32::MAX` is none, as Istio's defaults are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Requests under way.
    pub requests: u32,
    /// Requests that wait for a connection.
    pub pending: u32,
    /// Connections, idle ones among them.
    pub connections: u32,
    /// How many retries are admitted at once.
    pub retries: RetryLimit,
}

/// How many retries are admitted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryLimit {
    /// This many.
    Fixed(u32),
    /// A part of the requests under way.
    Budget {
        /// Hundredths of a percent.
        share: u32,
        /// Admitted however few requests there are.
        least: u32,
        /// Requests that began this long ago count as well; zero counts those under way alone.
        lookback: Duration,
    },
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: u32::MAX, pending: u32::MAX, connections: u32::MAX, retries: RetryLimit::default() }
    }
}

impl Default for RetryLimit {
    fn default() -> Self {
        Self::Budget { share: 2000, least: 3, lookback: Duration::ZERO }
    }
}

/// What a cluster is asked now.
#[derive(Debug, Default)]
pub struct Load {
    requests: AtomicU32,
    pending: AtomicU32,
    retries: AtomicU32,
    overflows: AtomicU32,
}

impl RetryLimit {
    /// Whether a retry counts, after a try that reached an endpoint or did not.
    pub fn counts(self, reached: bool) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Budget { .. } => reached,
        }
    }
}

/// Which counter a [`Slot`] is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Pending,
    Retry,
}

/// One place under a bound; dropping it frees the place.
#[derive(Debug)]
pub struct Slot {
    load: Arc<Load>,
    kind: Kind,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.load.counter(self.kind).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Load {
    fn counter(&self, kind: Kind) -> &AtomicU32 {
        match kind {
            Kind::Request => &self.requests,
            Kind::Pending => &self.pending,
            Kind::Retry => &self.retries,
        }
    }

    fn take(self: &Arc<Self>, kind: Kind, limit: u32) -> Option<Slot> {
        let before = self.counter(kind).fetch_add(1, Ordering::Relaxed);
        // Made first, so that its drop takes back what was added.
        let slot = Slot { load: Arc::clone(self), kind };
        if before >= limit {
            self.overflows.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(slot)
    }

    /// A place for a request.
    pub fn request(self: &Arc<Self>, limits: &Limits) -> Option<Slot> {
        self.take(Kind::Request, limits.requests)
    }

    /// A place among those that wait for a connection.
    pub fn pending(self: &Arc<Self>, limits: &Limits) -> Option<Slot> {
        self.take(Kind::Pending, limits.pending)
    }

    /// A place for a retry; `recent` is how many requests began within the budget's lookback.
    pub fn retry(self: &Arc<Self>, limits: &Limits, recent: u32) -> Option<Slot> {
        let limit = match limits.retries {
            RetryLimit::Fixed(it) => it,
            RetryLimit::Budget { share, least, lookback: _ } => {
                let part = u64::from(self.requests().max(recent)) * u64::from(share) / 10_000;
                least.max(u32::try_from(part).unwrap_or(u32::MAX))
            }
        };
        self.take(Kind::Retry, limit)
    }

    /// Requests under way.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How often a bound refused, since the start.
    pub fn overflows(&self) -> u32 {
        self.overflows.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_holder_is_gone() {
        let load = Arc::new(Load::default());
        let limits = Limits { requests: 2, ..Limits::default() };
        let first = load.request(&limits).unwrap();
        let _second = load.request(&limits).unwrap();
        assert!(load.request(&limits).is_none());
        assert_eq!((load.requests(), load.overflows()), (2, 1));
        drop(first);
        assert!(load.request(&limits).is_some());
    }

    #[test]
    fn the_retry_budget_follows_the_requests_under_way() {
        let load = Arc::new(Load::default());
        let limits = Limits::default();
        let admitted = || {
            let slots: Vec<_> = std::iter::from_fn(|| load.retry(&limits, 0)).take(100).collect();
            slots.len()
        };
        assert_eq!(admitted(), 3);
        let _requests: Vec<_> = (0..50).filter_map(|_| load.request(&limits)).collect();
        assert_eq!(admitted(), 10);
        assert!(load.retry(&limits, 500).is_some(), "those that ended count too");
        let none = Limits { retries: RetryLimit::Fixed(0), ..limits };
        assert!(load.retry(&none, 500).is_none());
    }
}
