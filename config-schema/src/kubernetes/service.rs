//! Service: a host of the registry, read from a cluster's dump.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// The fields of a Service's spec that a gateway uses; a dump holds many more.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename = "KubernetesService", rename_all = "camelCase", default)]
pub struct Service {
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// ClusterIP, NodePort, LoadBalancer or ExternalName.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name that an ExternalName stands for.
    pub external_name: String,
    /// `None` for a headless service.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
}

/// A port of a Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename = "KubernetesServicePort", rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Name; by Istio's convention it begins with the protocol.
    pub name: String,
    /// Number.
    pub port: u32,
    /// TCP or UDP.
    pub protocol: String,
    /// `http`, `kubernetes.io/h2c` …
    pub app_protocol: String,
    /// Number or name at the endpoints.
    pub target_port: Option<Value>,
    /// Port on the node.
    pub node_port: u32,
}

/// Labels by which a Service selects pods.
pub type Selector = BTreeMap<String, String>;
