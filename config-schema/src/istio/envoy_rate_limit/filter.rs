//! Envoy's filters of rate limits: a service's, and buckets of a process.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::entry::RouteRateLimit;

/// `envoy.extensions.filters.http.ratelimit.v3.RateLimit`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlobalRateLimit {
    /// Domain of the descriptors.
    pub domain: String,
    /// Entries of this stage are asked about.
    pub stage: u32,
    /// `internal`, `external` or `both`.
    pub request_type: String,
    /// Longest wait, such as `0.020s`.
    pub timeout: String,
    /// Refuses while nobody answers.
    pub failure_mode_deny: bool,
    /// gRPC calls get RESOURCE_EXHAUSTED, not UNAVAILABLE.
    pub rate_limited_as_resource_exhausted: bool,
    /// The service; its limits are compiled in.
    pub rate_limit_service: Option<Value>,
    /// `OFF` or `DRAFT_VERSION_03`.
    pub enable_x_ratelimit_headers: String,
    /// Leaves `x-envoy-ratelimited` out.
    pub disable_x_envoy_ratelimited_header: bool,
    /// Status of refusals; default 429.
    pub rate_limited_status: Option<StatusCode>,
    /// Status while nobody answers; default 500.
    pub status_on_error: Option<StatusCode>,
    /// Headers of refusals.
    pub response_headers_to_add: Vec<HeaderOption>,
    /// Prefix of statistics; no effect.
    pub stat_prefix: String,
}

/// `envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalRateLimit {
    /// Name in metrics.
    pub stat_prefix: String,
    /// Status of refusals; default 429.
    pub status: Option<StatusCode>,
    /// The bucket of requests without a descriptor of their own.
    pub token_bucket: Option<TokenBucket>,
    /// Share of requests that are counted; nothing when absent.
    pub filter_enabled: Option<Fraction>,
    /// Share of those that are refused; nothing when absent.
    pub filter_enforced: Option<Fraction>,
    /// Headers of refusals.
    pub response_headers_to_add: Vec<HeaderOption>,
    /// Buckets of descriptors.
    pub descriptors: Vec<LocalDescriptor>,
    /// What descriptors requests have.
    pub rate_limits: Vec<RouteRateLimit>,
    /// Entries of this stage are asked about.
    pub stage: u32,
    /// A bucket for each connection; not read.
    pub local_rate_limit_per_downstream_connection: bool,
    /// `OFF` or `DRAFT_VERSION_03`.
    pub enable_x_ratelimit_headers: String,
    /// Uses up the default bucket too when a descriptor matches; true when absent.
    pub always_consume_default_token_bucket: Option<bool>,
    /// gRPC calls get RESOURCE_EXHAUSTED, not UNAVAILABLE.
    pub rate_limited_as_resource_exhausted: bool,
}

/// A status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StatusCode {
    /// As a number, or Envoy's name such as `TooManyRequests`.
    pub code: Value,
}

/// Tokens that come back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenBucket {
    /// Most tokens.
    pub max_tokens: u64,
    /// Tokens that come back at a time; default 1.
    pub tokens_per_fill: Option<u64>,
    /// How often, such as `60s`.
    pub fill_interval: String,
}

/// A share of requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fraction {
    /// Key of Envoy's runtime, which a gateway has none of.
    pub runtime_key: String,
    /// The share.
    pub default_value: FractionValue,
}

/// A fraction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FractionValue {
    /// Over the denominator.
    pub numerator: u32,
    /// `HUNDRED`, `TEN_THOUSAND` or `MILLION`.
    pub denominator: String,
}

/// A header to be added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderOption {
    /// How it meets one that is there.
    pub append_action: String,
    /// The same, in an older form.
    pub append: Option<bool>,
    /// Name and value.
    pub header: HeaderValue,
    /// Whether an empty value stays.
    pub keep_empty_value: bool,
}

/// Name and value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderValue {
    /// Name.
    pub key: String,
    /// Value.
    pub value: String,
}

/// The bucket of a descriptor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalDescriptor {
    /// Keys and values.
    pub entries: Vec<HeaderValue>,
    /// Its bucket.
    pub token_bucket: Option<TokenBucket>,
}
