//! HealthCheck: asks the endpoints of a host whether they are well, before requests find out.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::value::Duration;

/// Probes of the endpoints of one host; those that fail get no requests until they pass again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HealthCheck {
    /// Host of the registry, as in a DestinationRule; no wildcard.
    pub host: String,
    /// Port of the host whose endpoints are probed; absent is every port.
    pub port: Option<u32>,
    /// Asks by HTTP; exactly one of http, grpc and tcp is needed.
    pub http: Option<HttpProbe>,
    /// Asks by gRPC's health protocol.
    pub grpc: Option<GrpcProbe>,
    /// Connects, and closes again.
    pub tcp: Option<TcpProbe>,
    /// Time between two probes of an endpoint; default 10s.
    pub interval: Option<Duration>,
    /// Bound on one probe; default 1s.
    pub timeout: Option<Duration>,
    /// Probes passed in a row until an endpoint is used again; default 2.
    pub healthy_threshold: Option<u32>,
    /// Probes failed in a row until an endpoint is left out; default 3.
    pub unhealthy_threshold: Option<u32>,
}

/// Asks by HTTP, in the version that the host's port speaks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpProbe {
    /// Path to GET; default `/`.
    pub path: String,
    /// `Host` to ask with; default the host.
    pub host: String,
    /// Statuses that pass; default 200 to 299.
    pub expected_statuses: Vec<StatusRange>,
}

/// Statuses from the first to the last, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StatusRange {
    /// First.
    pub from: u16,
    /// Last; absent is the first alone.
    pub to: Option<u16>,
}

/// Asks by `grpc.health.v1.Health/Check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GrpcProbe {
    /// Service to ask for; empty is the server as a whole.
    pub service: String,
}

/// Connects, and closes again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpProbe {}
