//! ServiceEntry: a host of the registry and where its endpoints are.

use schemars::JsonSchema;
use serde::Deserialize;

use super::shared::WorkloadSelector;
use super::workload_entry::WorkloadEntry;

/// Hosts, their ports, and their endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServiceEntry {
    /// Names; a wildcard stands only on the left.
    pub hosts: Vec<String>,
    /// Addresses and networks of the hosts: a forward proxy may be asked for them, and the hosts may lead to them though
    /// they are private. Elsewhere in a gateway they have no meaning.
    pub addresses: Vec<String>,
    /// Ports, unique by number and name.
    pub ports: Vec<ServicePort>,
    /// Inside or outside the mesh; for telemetry.
    pub location: Option<Location>,
    /// How endpoints are found; unset is NONE.
    pub resolution: Option<Resolution>,
    /// Endpoints; not together with workloadSelector.
    pub endpoints: Vec<WorkloadEntry>,
    /// WorkloadEntries of the namespace that are the endpoints.
    pub workload_selector: Option<WorkloadSelector>,
    /// Namespaces that may use it.
    pub export_to: Vec<String>,
    /// Names of which the server's certificate must carry one.
    pub subject_alt_names: Vec<String>,
}

/// A port of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServicePort {
    /// 1 to 65535; what destinations refer to.
    pub number: u32,
    /// HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS; decides how the upstream is spoken to.
    pub protocol: String,
    /// Name, unique in the entry.
    pub name: String,
    /// Port of the endpoints; default the number.
    pub target_port: u32,
}

/// Inside or outside the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Location {
    /// Outside.
    MeshExternal,
    /// Inside.
    MeshInternal,
}

/// How endpoints are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    /// The address the client asked for; a gateway has none.
    None,
    /// The endpoints' own addresses.
    Static,
    /// All addresses that DNS gives.
    Dns,
    /// One address that DNS gives, for each new connection.
    DnsRoundRobin,
    /// The host of the request, resolved when it comes.
    DynamicDns,
}
