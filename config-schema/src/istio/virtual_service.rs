//! VirtualService: which route a request takes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::http_action::{
    CorsPolicy, Delegate, DirectResponse, FaultInjection, MirrorPolicy, Redirect, Retry, Rewrite,
};
use super::route_match::HttpMatch;
use super::shared::{Destination, Headers};
use crate::value::{Duration, Percent};

/// Routes for a set of hosts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VirtualService {
    /// Hosts that the routes are for; a wildcard stands only on the left. Empty for a delegate.
    pub hosts: Vec<String>,
    /// Gateways, `[namespace/]name`; absent means `mesh`, so no gateway uses it.
    pub gateways: Vec<String>,
    /// Rules for HTTP, the first that matches is taken.
    pub http: Vec<HttpRoute>,
    /// Rules for TLS that is passed through, by SNI.
    pub tls: Vec<TlsRoute>,
    /// Rules for TCP.
    pub tcp: Vec<TcpRoute>,
    /// Namespaces that may use it: `*`, `.`, or names.
    pub export_to: Vec<String>,
}

/// One rule: conditions, changes, and what happens.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpRoute {
    /// Name for logs.
    pub name: String,
    /// Conditions, of which one must hold; empty matches every request.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    /// Weighted destinations.
    pub route: Vec<HttpRouteDestination>,
    /// Answers with a redirect.
    pub redirect: Option<Box<Redirect>>,
    /// Answers with a fixed response.
    pub direct_response: Option<Box<DirectResponse>>,
    /// Takes the rules of another VirtualService.
    pub delegate: Option<Box<Delegate>>,
    /// Changes path and host before forwarding.
    pub rewrite: Option<Box<Rewrite>>,
    /// Bound on the whole exchange with retries; absent or 0s is none.
    pub timeout: Option<Duration>,
    /// When a request is tried again.
    pub retries: Option<Box<Retry>>,
    /// Delays and errors for testing clients.
    pub fault: Option<Box<FaultInjection>>,
    /// Copies requests to this destination.
    pub mirror: Option<Box<Destination>>,
    /// Copies requests to these destinations.
    pub mirrors: Vec<MirrorPolicy>,
    /// Share of requests that `mirror` copies, whole percent; use mirrorPercentage.
    pub mirror_percent: Option<u32>,
    /// Share of requests that `mirror` copies; default 100.
    pub mirror_percentage: Option<Percent>,
    /// Which other origins' pages may call.
    pub cors_policy: Option<Box<CorsPolicy>>,
    /// Changes to headers.
    pub headers: Option<Box<Headers>>,
}

/// A destination with its share of the traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpRouteDestination {
    /// Where to.
    pub destination: Option<Destination>,
    /// Share in proportion to the sum of all weights; a single destination gets everything.
    pub weight: i32,
    /// Changes to headers for this destination.
    pub headers: Option<Box<Headers>>,
}

/// One rule for TLS that is passed through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TlsRoute {
    /// Conditions, of which one must hold; at least one.
    #[serde(rename = "match")]
    pub matches: Vec<TlsMatch>,
    /// Weighted destinations, chosen per connection.
    pub route: Vec<RouteDestination>,
}

/// Conditions on a TLS connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TlsMatch {
    /// SNI names; each within a host of the VirtualService.
    pub sni_hosts: Vec<String>,
    /// Ignored at gateways.
    #[schemars(extend("x-support" = "mesh"))]
    pub destination_subnets: Vec<String>,
    /// Gateway port.
    pub port: u32,
    /// Ignored at gateways.
    #[schemars(extend("x-support" = "mesh"))]
    pub source_labels: BTreeMap<String, String>,
    /// Gateways it is for; default those of the VirtualService.
    pub gateways: Vec<String>,
    /// Ignored at gateways.
    #[schemars(extend("x-support" = "mesh"))]
    pub source_namespace: String,
}

/// One rule for TCP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpRoute {
    /// Conditions, of which one must hold; empty matches every connection.
    #[serde(rename = "match")]
    pub matches: Vec<TcpMatch>,
    /// Weighted destinations, chosen per connection.
    pub route: Vec<RouteDestination>,
}

/// Conditions on a TCP connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpMatch {
    /// Ignored at gateways.
    #[schemars(extend("x-support" = "mesh"))]
    pub destination_subnets: Vec<String>,
    /// Gateway port.
    pub port: u32,
    /// Ignored at gateways.
    #[schemars(extend("x-support" = "mesh"))]
    pub source_subnet: String,
    /// Ignored at gateways.
    #[schemars(extend("x-support" = "mesh"))]
    pub source_labels: BTreeMap<String, String>,
    /// Gateways it is for; default those of the VirtualService.
    pub gateways: Vec<String>,
    /// Ignored at gateways.
    #[schemars(extend("x-support" = "mesh"))]
    pub source_namespace: String,
}

/// A destination of TCP or TLS with its share of the connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteDestination {
    /// Where to.
    pub destination: Option<Destination>,
    /// Share in proportion to the sum of all weights.
    pub weight: i32,
}
