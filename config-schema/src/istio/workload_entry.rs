//! WorkloadEntry: one endpoint outside Kubernetes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// One endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WorkloadEntry {
    /// IP address, DNS name (with resolution DNS), or `unix:///path`.
    pub address: String,
    /// Port name of the service to port number here.
    pub ports: BTreeMap<String, u32>,
    /// Labels, for subsets and selectors.
    pub labels: BTreeMap<String, String>,
    /// Network of a multi-network mesh.
    #[schemars(extend("x-support" = "mesh"))]
    pub network: String,
    /// `region/zone/subzone`.
    pub locality: String,
    /// Share of the traffic; 0 counts as 1.
    pub weight: u32,
    /// Identity inside the mesh.
    #[schemars(extend("x-support" = "mesh"))]
    pub service_account: String,
}
