//! Istio's request metrics, with the label values of a gateway.
//!
//! Looking 25 labels up for four metrics would cost more than routing a request, so each
//! thread keeps the handles of the combinations it has seen. The number of combinations is
//! bounded: beyond it requests are counted under the destination `other`.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};

use super::interned::{Bound, Interned};
use super::metrics::Metrics;

/// Istio's labels, in Istio's order.
pub(super) const LABELS: [&str; 25] = [
    "reporter",
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_service",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service_name",
    "destination_service_namespace",
    "destination_cluster",
    "request_protocol",
    "response_code",
    "grpc_response_status",
    "response_flags",
    "connection_security_policy",
];

/// Envoy's buckets, the same for milliseconds and bytes, since dashboards add them up over proxies.
pub(super) const BUCKETS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// Who the gateway is, in labels.
#[derive(Debug, Clone)]
pub struct SourceLabels {
    /// Name of the gateway.
    pub workload: String,
    /// Its namespace.
    pub namespace: String,
    /// Its application.
    pub app: String,
    /// Its version.
    pub version: String,
    /// Domain of Kubernetes services.
    pub cluster_domain: String,
}

/// Where a request went.
#[derive(Debug, Clone, Copy)]
pub enum DestinationLabels<'a> {
    /// Nowhere that is known.
    Unknown,
    /// To this cluster.
    Cluster {
        /// Name of the cluster.
        name: &'a str,
        /// Its host.
        host: &'a str,
        /// Its namespace.
        namespace: &'a str,
    },
}

impl DestinationLabels<'_> {
    /// What the handles of a destination are kept under.
    pub(super) fn key(&self) -> (&str, &str) {
        match self {
            Self::Unknown => ("", ""),
            Self::Cluster { name, host: _, namespace } => (namespace, name),
        }
    }
}

/// One finished request.
#[derive(Debug)]
pub struct Observation<'a> {
    /// Where it went.
    pub destination: DestinationLabels<'a>,
    /// Status; 0 when none was sent.
    pub status: u16,
    /// Envoy's flag.
    pub flag: &'static str,
    /// Whether it is a gRPC call.
    pub is_grpc: bool,
    /// Its gRPC status.
    pub grpc_status: Option<u8>,
    /// From the first byte to the last.
    pub duration: Duration,
    /// Bytes from the client on the wire.
    pub received: u64,
    /// Bytes to the client on the wire.
    pub sent: u64,
}

/// What requests and connections beyond the bound are counted under.
pub(super) const OTHER: DestinationLabels<'static> =
    DestinationLabels::Cluster { name: "other", host: "other", namespace: "unknown" };

/// What tells two series of one destination apart.
type Kind = (u16, &'static str, bool, Option<u8>);

#[derive(Clone)]
struct Handles {
    requests: IntCounter,
    duration: Histogram,
    received: Histogram,
    sent: Histogram,
}

thread_local! {
    /// Handles this thread has seen, by cluster and kind.
    static SEEN: RefCell<Interned<Kind, Handles>> = RefCell::default();
}

/// The four request metrics.
pub struct RequestSeries {
    source: SourceLabels,
    requests: IntCounterVec,
    duration: HistogramVec,
    received: HistogramVec,
    sent: HistogramVec,
    bound: Bound,
}

impl RequestSeries {
    /// The metrics of a gateway, registered.
    pub fn new(source: SourceLabels, metrics: &Metrics) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(Opts::new("istio_requests_total", "Finished requests."), &LABELS)?;
        metrics.register(requests.clone())?;
        let histogram = |name, help| {
            let vec = HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), &LABELS)?;
            metrics.register(vec.clone())?;
            Ok::<_, prometheus::Error>(vec)
        };
        Ok(Self {
            source,
            requests,
            duration: histogram("istio_request_duration_milliseconds", "Time from the first byte to the last.")?,
            received: histogram("istio_request_bytes", "Bytes received from the client.")?,
            sent: histogram("istio_response_bytes", "Bytes sent to the client.")?,
            bound: Bound::new(metrics.series_overflow.clone()),
        })
    }

    /// Counts a finished request.
    pub fn observe(&self, observation: &Observation<'_>) {
        let Observation { destination, status, flag, is_grpc, grpc_status, duration, received, sent } = observation;
        let kind = (*status, *flag, *is_grpc, *grpc_status);
        let count = |handles: &Handles| {
            handles.requests.inc();
            handles.duration.observe(milliseconds(*duration));
            handles.received.observe(bytes(*received));
            handles.sent.observe(bytes(*sent));
        };
        SEEN.with_borrow_mut(|seen| {
            let new = (&self.bound, || self.handles(*destination, kind));
            seen.with(destination.key(), kind, new, |known| match known {
                Some(handles) => count(handles),
                None => count(&self.handles(OTHER, (0, "-", false, None))),
            });
        });
    }

    /// The handles of a combination.
    fn handles(&self, destination: DestinationLabels<'_>, kind: Kind) -> Handles {
        let (status, flag, is_grpc, grpc_status) = kind;
        let grpc = if is_grpc { grpc_status.unwrap_or_default().to_string() } else { String::new() };
        let protocol = if is_grpc { "grpc" } else { "http" };
        let labels = self.source.labels(destination, (protocol, &status.to_string(), &grpc), flag);
        let values: Vec<&str> = labels.iter().map(AsRef::as_ref).collect();
        Handles {
            requests: self.requests.with_label_values(&values),
            duration: self.duration.with_label_values(&values),
            received: self.received.with_label_values(&values),
            sent: self.sent.with_label_values(&values),
        }
    }
}

impl SourceLabels {
    /// The values of Istio's labels, in its order.
    pub(super) fn labels(
        &self,
        destination: DestinationLabels<'_>,
        (protocol, status, grpc): (&str, &str, &str),
        flag: &str,
    ) -> [Arc<str>; 25] {
        let unknown = "unknown";
        let (service, name, namespace, cluster) = match destination {
            DestinationLabels::Unknown => (unknown, unknown, unknown, unknown),
            DestinationLabels::Cluster { name: _, host, namespace } => {
                let suffix = format!(".{namespace}.svc.{}", self.cluster_domain);
                (host, host.strip_suffix(suffix.as_str()).unwrap_or(host), namespace, "Kubernetes")
            }
        };
        [
            "source",
            &self.workload,
            &self.app,
            if self.version == unknown { "latest" } else { &self.version },
            &self.namespace,
            unknown,
            &self.app,
            &self.version,
            "Kubernetes",
            unknown,
            unknown,
            unknown,
            unknown,
            unknown,
            service,
            unknown,
            "latest",
            name,
            namespace,
            cluster,
            protocol,
            status,
            grpc,
            flag,
            unknown,
        ]
        .map(Arc::from)
    }
}

/// Whole milliseconds, as Envoy counts them.
pub(super) fn milliseconds(span: Duration) -> f64 {
    f64::from(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))
}

fn bytes(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
