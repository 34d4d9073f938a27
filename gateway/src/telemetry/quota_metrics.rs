//! Metrics of rate limits, and of the Redis that counts them.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

use super::metrics::add;

/// Metrics of rate limits.
pub struct QuotaMetrics {
    /// Requests by policy, rule and what became of them.
    pub decisions: IntCounterVec,
    /// The Redis that counts.
    pub redis: RedisMetrics,
}

/// Metrics of the Redis that counts.
#[derive(Debug, Clone)]
pub struct RedisMetrics {
    /// Time of one call, in seconds.
    pub duration: Histogram,
    /// Whether it answers: 1 or 0.
    pub up: IntGauge,
    /// Requests that got no answer, by the reason.
    pub errors: IntCounterVec,
}

impl QuotaMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let decisions = Opts::new("sluice_ratelimit_decisions_total", "Requests under a rate limit by what it said.");
        let decisions = IntCounterVec::new(decisions, &["policy", "rule", "result"])?;
        Ok(Self { decisions: add(registry, decisions)?, redis: RedisMetrics::new(registry)? })
    }
}

impl RedisMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let buckets = vec![0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05];
        let duration = HistogramOpts::new("sluice_ratelimit_redis_duration_seconds", "Time of a call to Redis.");
        let duration = Histogram::with_opts(duration.buckets(buckets))?;
        let up = IntGauge::new("sluice_ratelimit_redis_up", "Whether the Redis of the rate limits answers.")?;
        let errors = Opts::new("sluice_ratelimit_redis_errors_total", "Requests that Redis did not answer.");
        Ok(Self {
            duration: add(registry, duration)?,
            up: add(registry, up)?,
            errors: add(registry, IntCounterVec::new(errors, &["kind"])?)?,
        })
    }
}
