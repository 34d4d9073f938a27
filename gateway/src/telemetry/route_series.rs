//! Metrics of single routes, for those whose match has a `statPrefix` (Envoy's `vhost.route`).
//!
//! Each thread keeps the handles of the prefixes it has seen; beyond the bound nothing is counted.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};

use super::interned::{Bound, Interned};
use super::metrics::Metrics;
use super::series::{BUCKETS, milliseconds};

/// Classes of statuses; a request without an answer counts as the first.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

struct Handles {
    requests: [IntCounter; CLASSES.len()],
    duration: Histogram,
}

thread_local! {
    /// Handles this thread has seen.
    static SEEN: RefCell<Interned<(), Handles>> = RefCell::default();
}

/// The metrics of routes.
pub struct RouteSeries {
    requests: IntCounterVec,
    duration: HistogramVec,
    bound: Bound,
}

impl RouteSeries {
    /// The metrics, registered.
    pub fn new(metrics: &Metrics) -> Result<Self, prometheus::Error> {
        let about = Opts::new("sluice_route_requests_total", "Finished requests of routes with a statPrefix.");
        let requests = IntCounterVec::new(about, &["stat_prefix", "response_code_class"])?;
        metrics.register(requests.clone())?;
        let about = HistogramOpts::new("sluice_route_request_duration_milliseconds", "Time from first byte to last.");
        let duration = HistogramVec::new(about.buckets(BUCKETS.to_vec()), &["stat_prefix"])?;
        metrics.register(duration.clone())?;
        Ok(Self { requests, duration, bound: Bound::new(metrics.series_overflow.clone()) })
    }

    /// Counts a finished request of a route.
    pub fn observe(&self, prefix: &Arc<str>, status: u16, duration: Duration) {
        let count = |handles: &Handles| {
            if let Some(counter) = handles.requests.get(usize::from(status / 100)) {
                counter.inc();
            }
            handles.duration.observe(milliseconds(duration));
        };
        let new = (&self.bound, || self.handles(prefix));
        SEEN.with_borrow_mut(|seen| seen.with(("", prefix), (), new, |known| known.map(count)));
    }

    fn handles(&self, prefix: &str) -> Handles {
        Handles {
            requests: CLASSES.map(|class| self.requests.with_label_values(&[prefix, class])),
            duration: self.duration.with_label_values(&[prefix]),
        }
    }
}
