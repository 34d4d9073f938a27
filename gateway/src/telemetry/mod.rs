//! What the gateway tells of itself: metrics, access log, messages to its operator.

pub mod template;
pub mod time_format;

pub mod access_log;
pub mod log_writer;
pub mod messages;

pub mod metrics;
mod interned;
pub mod access_metrics;
pub mod tls_metrics;
pub mod process;
pub mod quota_metrics;
pub mod egress_log;
pub mod route_series;
pub mod series;
pub mod tcp_series;

use std::sync::Arc;

use egress_log::EgressLog;
use log_writer::LogWriter;
use metrics::Metrics;
use route_series::RouteSeries;
use series::RequestSeries;
use tcp_series::TcpSeries;

/// Everything that requests and reloads report to.
pub struct Telemetry {
    /// One line for each request.
    pub access_log: Arc<LogWriter>,
    /// Istio's request metrics.
    pub series: RequestSeries,
    /// Istio's metrics of TCP connections.
    pub tcp: TcpSeries,
    /// Metrics of single routes.
    pub routes: RouteSeries,
    /// What forward proxies refused.
    pub egress: EgressLog,
    /// Our own metrics, and the registry of all.
    pub metrics: Metrics,
}
