//! Istio's metrics of TCP connections, with the labels of its request metrics.
//!
//! Each thread keeps the handles it has used; connections beyond the bound are counted under the
//! destination `other`.

use std::cell::RefCell;

use prometheus::{IntCounter, IntCounterVec, Opts};

use super::interned::{Bound, Interned};
use super::metrics::Metrics;
use super::series::{DestinationLabels, LABELS, OTHER, SourceLabels};

/// Labels that mean something only for requests.
const OF_REQUESTS: [&str; 2] = ["response_code", "grpc_response_status"];

thread_local! {
    /// Handles of connections that begin, by cluster.
    static BEGUN: RefCell<Interned<(), TcpCounters>> = RefCell::default();
    /// Handles of connections that ended, by cluster and flag.
    static ENDED: RefCell<Interned<&'static str, IntCounter>> = RefCell::default();
}

/// The four metrics of connections.
pub struct TcpSeries {
    source: SourceLabels,
    opened: IntCounterVec,
    closed: IntCounterVec,
    received: IntCounterVec,
    sent: IntCounterVec,
    bound: Bound,
}

/// The counters of one destination.
#[derive(Clone)]
pub struct TcpCounters {
    /// Connections begun.
    pub opened: IntCounter,
    /// Bytes from clients.
    pub received: IntCounter,
    /// Bytes to clients.
    pub sent: IntCounter,
}

impl TcpSeries {
    /// The metrics of a gateway, registered.
    pub fn new(source: SourceLabels, metrics: &Metrics) -> Result<Self, prometheus::Error> {
        let names: Vec<&str> = LABELS.into_iter().filter(|it| !OF_REQUESTS.contains(it)).collect();
        let counter = |name, help| {
            let counter = IntCounterVec::new(Opts::new(name, help), &names)?;
            metrics.register(counter.clone())?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            source,
            opened: counter("istio_tcp_connections_opened_total", "TCP connections begun.")?,
            closed: counter("istio_tcp_connections_closed_total", "TCP connections ended.")?,
            received: counter("istio_tcp_received_bytes_total", "Bytes received from clients.")?,
            sent: counter("istio_tcp_sent_bytes_total", "Bytes sent to clients.")?,
            bound: Bound::new(metrics.series_overflow.clone()),
        })
    }

    /// The counters of a destination.
    pub fn counters(&self, destination: DestinationLabels<'_>) -> TcpCounters {
        let new = (&self.bound, || self.begun(destination));
        let known = BEGUN.with_borrow_mut(|begun| begun.with(destination.key(), (), new, |known| known.cloned()));
        known.unwrap_or_else(|| self.begun(OTHER))
    }

    /// Counts the end of a connection.
    pub fn close(&self, destination: DestinationLabels<'_>, flag: &'static str) {
        let new = (&self.bound, || self.ended(destination, flag));
        ENDED.with_borrow_mut(|ended| {
            ended.with(destination.key(), flag, new, |known| match known {
                Some(counter) => counter.inc(),
                None => self.ended(OTHER, "-").inc(),
            });
        });
    }

    fn begun(&self, destination: DestinationLabels<'_>) -> TcpCounters {
        self.with(destination, "-", |values| TcpCounters {
            opened: self.opened.with_label_values(values),
            received: self.received.with_label_values(values),
            sent: self.sent.with_label_values(values),
        })
    }

    fn ended(&self, destination: DestinationLabels<'_>, flag: &'static str) -> IntCounter {
        self.with(destination, flag, |values| self.closed.with_label_values(values))
    }

    fn with<T>(&self, destination: DestinationLabels<'_>, flag: &str, take: impl FnOnce(&[&str]) -> T) -> T {
        let labels = self.source.labels(destination, ("tcp", "", ""), flag);
        let named = LABELS.iter().zip(&labels);
        let values: Vec<&str> =
            named.filter(|(name, _)| !OF_REQUESTS.contains(name)).map(|(_, value)| value.as_ref()).collect();
        take(&values)
    }
}
