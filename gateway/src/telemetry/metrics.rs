//! Our own metrics, and the registry that `/metrics` shows.

use prometheus::core::Collector;
use prometheus::{Encoder as _, Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use super::access_metrics::AccessMetrics;
use super::quota_metrics::QuotaMetrics;
use super::tls_metrics::TlsMetrics;

/// Metrics of the process as a whole.
pub struct Metrics {
    registry: Registry,
    /// Number of the running configuration.
    pub config_generation: IntGauge,
    /// Whether the last reload took effect.
    pub config_last_reload_success: IntGauge,
    /// When the last reload took effect, in seconds since 1970.
    pub config_last_reload_timestamp: Gauge,
    /// Reloads by result.
    pub config_reloads: IntCounterVec,
    /// Warnings of the running configuration.
    pub config_warnings: IntGauge,
    /// Client connections open now.
    pub connections: IntGauge,
    /// Client connections refused by a bound.
    pub connections_refused: IntCounter,
    /// Access log lines that were dropped.
    pub access_log_dropped: IntCounter,
    /// TLS at the edge.
    pub tls: TlsMetrics,
    /// Rate limits.
    pub quota: QuotaMetrics,
    /// Tokens and access policies.
    pub access: AccessMetrics,
    /// Request series that were not opened because of the bound on series.
    pub series_overflow: IntCounter,
}

impl Metrics {
    /// All of them, registered.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = Gauge::with_opts(
            Opts::new("istio_build", "Version of this gateway.")
                .const_label("component", "proxy")
                .const_label("tag", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1.0);
        add(&registry, build)?;
        let gauge = |name, help| IntGauge::new(name, help).and_then(|it| add(&registry, it));
        let counter = |name, help| IntCounter::new(name, help).and_then(|it| add(&registry, it));
        let reloads = Opts::new("sluice_config_reloads_total", "Reloads by result.");
        let timestamp = Gauge::new("sluice_config_last_reload_timestamp_seconds", "When the last reload took effect.")?;
        Ok(Self {
            tls: TlsMetrics::new(&registry)?,
            quota: QuotaMetrics::new(&registry)?,
            access: AccessMetrics::new(&registry)?,
            config_generation: gauge("sluice_config_generation", "Number of the running configuration.")?,
            config_last_reload_success: gauge(
                "sluice_config_last_reload_success",
                "Whether the last reload took effect.",
            )?,
            config_last_reload_timestamp: add(&registry, timestamp)?,
            config_reloads: add(&registry, IntCounterVec::new(reloads, &["result"])?)?,
            config_warnings: gauge("sluice_config_warnings", "Warnings of the running configuration.")?,
            connections: gauge("sluice_downstream_connections", "Client connections open now.")?,
            connections_refused: counter(
                "sluice_downstream_connections_refused_total",
                "Client connections refused by a bound.",
            )?,
            access_log_dropped: counter("sluice_access_log_dropped_total", "Access log lines that were dropped.")?,
            series_overflow: counter(
                "sluice_metrics_series_overflow_total",
                "Requests and connections counted under `other`, or in no route, because of the bound on series.",
            )?,
            registry,
        })
    }

    /// Adds another collector.
    pub fn register(&self, collector: impl Collector + 'static) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(collector))
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            log::error!("cannot render metrics: {error}");
        }
        out.extend_from_slice(super::process::render().as_bytes());
        out
    }
}

pub(super) fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
