//! Metrics of TLS at the edge: handshakes and certificates.

use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};

use super::metrics::add;

/// Metrics of TLS at the edge.
pub struct TlsMetrics {
    /// Beginnings of connections on TLS ports, by how they ended.
    pub handshakes: IntCounterVec,
    /// When the certificates that are shown end, in seconds since 1970.
    pub certificate_expiry: GaugeVec,
    /// Certificates that were read anew since their files changed, by result.
    pub certificate_reloads: IntCounterVec,
}

impl TlsMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let handshakes =
            Opts::new("sluice_tls_handshakes_total", "Beginnings of connections on TLS ports, by how they ended.");
        let expiry =
            Opts::new("sluice_cert_expiry_timestamp_seconds", "When a certificate that is shown ends, since 1970.");
        let reloads = Opts::new(
            "sluice_cert_reloads_total",
            "Certificates that were read anew since their files changed, by result.",
        );
        Ok(Self {
            handshakes: add(registry, IntCounterVec::new(handshakes, &["result"])?)?,
            certificate_expiry: add(registry, GaugeVec::new(expiry, &["name", "serial"])?)?,
            certificate_reloads: add(registry, IntCounterVec::new(reloads, &["result"])?)?,
        })
    }
}
