//! Metrics of tokens, of the keys that they are checked with, and of access policies.

use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::metrics::add;

/// Metrics of tokens and access policies.
pub struct AccessMetrics {
    /// Keys of issuers.
    pub jwks: JwksMetrics,
    /// Tokens by what became of them.
    pub validations: IntCounterVec,
    /// Those that were valid, for the requests that come most.
    pub valid: IntCounter,
    /// Requests and connections by what the access policies said.
    pub decisions: IntCounterVec,
    /// Those that were allowed, for the same reason.
    pub allowed: IntCounter,
    /// Keys and passwords by kind and what became of them.
    pub credentials: IntCounterVec,
    /// Services that were asked.
    pub external: ExternalMetrics,
}

/// Metrics of services that say who may pass.
pub struct ExternalMetrics {
    /// Questions by service and what became of them.
    pub requests: IntCounterVec,
    /// How long they took, in seconds.
    pub duration: HistogramVec,
}

/// Metrics of issuers' keys.
#[derive(Clone)]
pub struct JwksMetrics {
    /// Fetches by result.
    pub fetches: IntCounterVec,
    /// Keys that are not usable.
    pub skipped: IntCounter,
    /// Age of the keys in seconds.
    pub age: GaugeVec,
}

impl AccessMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let about = Opts::new("sluice_jwt_validations_total", "Tokens by what became of them.");
        let validations = add(registry, IntCounterVec::new(about, &["result"])?)?;
        let about = Opts::new("sluice_authz_decisions_total", "What the access policies said.");
        let decisions = add(registry, IntCounterVec::new(about, &["decision", "policy"])?)?;
        let keys = Opts::new("sluice_credentials_validations_total", "Keys and passwords by what became of them.");
        Ok(Self {
            jwks: JwksMetrics::new(registry)?,
            valid: validations.with_label_values(&["valid"]),
            validations,
            allowed: decisions.with_label_values(&["allowed", ""]),
            decisions,
            credentials: add(registry, IntCounterVec::new(keys, &["kind", "result"])?)?,
            external: ExternalMetrics::new(registry)?,
        })
    }
}

impl ExternalMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = Opts::new("sluice_ext_authz_requests_total", "Questions to services that say who may pass.");
        let duration = HistogramOpts::new("sluice_ext_authz_duration_seconds", "Time until such a service answered.");
        Ok(Self {
            requests: add(registry, IntCounterVec::new(requests, &["provider", "result"])?)?,
            duration: add(registry, HistogramVec::new(duration, &["provider"])?)?,
        })
    }
}

impl JwksMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let fetches = Opts::new("sluice_jwks_fetches_total", "Fetches of issuers' keys by result.");
        let age = Opts::new("sluice_jwks_age_seconds", "Age of an issuer's keys at the last attempt to fetch them.");
        let skipped = IntCounter::new("sluice_jwks_keys_skipped_total", "Keys of issuers that are not usable.")?;
        Ok(Self {
            fetches: add(registry, IntCounterVec::new(fetches, &["result"])?)?,
            skipped: add(registry, skipped)?,
            age: add(registry, GaugeVec::new(age, &["uri"])?)?,
        })
    }
}
