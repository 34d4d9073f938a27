//! EndpointSlice: addresses of a Service's endpoints.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Label that names the Service of a slice.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Some endpoints of one Service; the label `kubernetes.io/service-name` says of which.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename = "KubernetesEndpointSlice", rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// IPv4, IPv6 or FQDN.
    pub address_type: String,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Their ports.
    pub ports: Vec<EndpointPort>,
}

/// One endpoint.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename = "KubernetesEndpoint", rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Addresses; the first is used.
    pub addresses: Vec<String>,
    /// Whether it may be used.
    pub conditions: Conditions,
    /// Zone.
    pub zone: String,
    /// Node.
    pub node_name: String,
    /// Pod.
    pub target_ref: Option<Value>,
    /// Labels of old dumps.
    pub deprecated_topology: BTreeMap<String, String>,
}

/// Whether an endpoint may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename = "KubernetesConditions", rename_all = "camelCase", default)]
pub struct Conditions {
    /// Absent counts as ready.
    pub ready: Option<bool>,
    /// Answers, though it may be ending.
    pub serving: Option<bool>,
    /// Is ending.
    pub terminating: Option<bool>,
}

/// A port of the endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename = "KubernetesEndpointPort", rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// Name of the Service's port.
    pub name: String,
    /// Number.
    pub port: u32,
    /// TCP or UDP.
    pub protocol: String,
    /// `http`, `kubernetes.io/h2c` …
    pub app_protocol: String,
}
