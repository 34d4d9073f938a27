//! What the gateway tells of itself: metrics, access log, messages to its operator.

pub mod template;
pub mod time_format;

pub mod access_log;
pub mod log_writer;
pub mod messages;

pub mod metrics;
pub mod process;
pub mod series;

use std::sync::Arc;

use log_writer::LogWriter;
use metrics::Metrics;
use series::RequestSeries;

/// Everything that requests and reloads report to.
pub struct Telemetry {
    /// One line for each request.
    pub access_log: Arc<LogWriter>,
    /// Istio's request metrics.
    pub series: RequestSeries,
    /// Our own metrics, and the registry of all.
    pub metrics: Metrics,
}
