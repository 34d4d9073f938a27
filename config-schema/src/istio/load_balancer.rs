//! How an endpoint of a cluster is chosen.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::value::Duration;

/// How an endpoint is chosen.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LoadBalancer {
    /// An algorithm without settings; default LEAST_REQUEST.
    pub simple: Option<SimpleBalancer>,
    /// The same endpoint for the same key.
    pub consistent_hash: Option<ConsistentHash>,
    /// Preference for near endpoints.
    pub locality_lb_setting: Option<LocalityLb>,
    /// Preference for endpoints of the own zone.
    pub zone_aware_lb_setting: Option<ZoneAwareLb>,
    /// Use `warmup.duration`.
    pub warmup_duration_secs: Option<Duration>,
    /// Gives new endpoints less traffic at first.
    pub warmup: Option<Warmup>,
}

/// Algorithms without settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SimpleBalancer {
    /// LEAST_REQUEST.
    Unspecified,
    /// Old name of LEAST_REQUEST.
    LeastConn,
    /// Any endpoint.
    Random,
    /// The address the client asked for; a gateway has none.
    Passthrough,
    /// One after the other.
    RoundRobin,
    /// The less busy of two random ones.
    LeastRequest,
}

/// The same endpoint for the same key; exactly one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConsistentHash {
    /// Key: a request header.
    pub http_header_name: Option<String>,
    /// Key: a cookie.
    pub http_cookie: Option<HttpCookie>,
    /// Key: the client's address.
    pub use_source_ip: Option<bool>,
    /// Key: a query parameter.
    pub http_query_parameter_name: Option<String>,
    /// Ring hash.
    pub ring_hash: Option<RingHash>,
    /// Maglev.
    pub maglev: Option<Maglev>,
    /// Use `ringHash.minimumRingSize`.
    pub minimum_ring_size: u64,
}

/// A cookie as hash key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpCookie {
    /// Name.
    pub name: String,
    /// Path to set.
    pub path: String,
    /// Lifetime; absent means that the cookie is only read, 0s a session cookie.
    pub ttl: Option<Duration>,
    /// Further attributes to set.
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CookieAttribute {
    /// Name, as SameSite.
    pub name: String,
    /// Value; may be empty.
    pub value: String,
}

/// Ring hash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RingHash {
    /// Least number of points on the ring; default 1024.
    pub minimum_ring_size: u64,
}

/// Maglev.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Maglev {
    /// A prime up to 5,000,011; default 65537.
    pub table_size: u64,
}

/// Preference for near endpoints; at most one of distribute, failover, failoverPriority.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LocalityLb {
    /// Shares of the traffic by locality.
    pub distribute: Vec<LocalityShares>,
    /// Where traffic goes when a region fails.
    pub failover: Vec<RegionFailover>,
    /// Labels by which endpoints are ranked.
    pub failover_priority: Vec<String>,
    /// Off when false.
    pub enabled: Option<bool>,
}

/// Shares of the traffic from one locality.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LocalityShares {
    /// `region/zone/subzone`, with `*` at the end.
    pub from: String,
    /// Locality to percent; the sum is 100.
    pub to: BTreeMap<String, u32>,
}

/// Where traffic goes when a region fails.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RegionFailover {
    /// Region that fails.
    pub from: String,
    /// Region that takes over.
    pub to: String,
}

/// Preference for endpoints of the own zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ZoneAwareLb {
    /// Off when false.
    pub enabled: Option<bool>,
    /// Where traffic goes when a region fails.
    pub failover: Vec<RegionFailover>,
    /// Labels by which endpoints are ranked.
    pub failover_priority: Vec<String>,
    /// Below this number of endpoints in the gateway's region its zones are not told apart; default 6.
    pub min_cluster_size: Option<u64>,
}

/// Gives new endpoints less traffic at first.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Warmup {
    /// How long.
    pub duration: Option<Duration>,
    /// Share at the start, in percent; default 10.
    pub minimum_percent: Option<f64>,
    /// Steepness, at least 1; default 1.
    pub aggression: Option<f64>,
}
