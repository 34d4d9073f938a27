//! Sidecar: which services may be reached, read for its egress part.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::shared::{Destination, WorkloadSelector};

/// What may be reached from selected workloads.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Sidecar {
    /// Workloads; default all of the namespace.
    pub workload_selector: Option<WorkloadSelector>,
    /// Inbound listeners of a sidecar.
    #[schemars(extend("x-support" = "mesh"))]
    pub ingress: Vec<Value>,
    /// Outbound listeners.
    pub egress: Vec<EgressListener>,
    /// Bounds on inbound connections of a sidecar.
    #[schemars(extend("x-support" = "mesh"))]
    pub inbound_connection_pool: Option<Value>,
    /// What happens to hosts that no document names.
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
}

/// An outbound listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EgressListener {
    /// Port; only the last listener may leave it out.
    pub port: Option<SidecarPort>,
    /// Address or `unix:///path`.
    pub bind: String,
    /// How traffic is captured.
    #[schemars(extend("x-support" = "mesh"))]
    pub capture_mode: Option<CaptureMode>,
    /// Hosts that may be reached, `namespace/name`.
    pub hosts: Vec<String>,
}

/// A port of a sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SidecarPort {
    /// 1 to 65535.
    pub number: u32,
    /// Protocol; HTTP_PROXY is an explicit forward proxy, HTTPS_PROXY one behind TLS (`tls` of an EgressPolicy).
    pub protocol: String,
    /// Name.
    pub name: String,
    /// No effect.
    #[schemars(extend("x-support" = "inert"))]
    pub target_port: u32,
}

/// What a listener that is a forward proxy speaks with its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// HTTP_PROXY: requests and tunnels as they are.
    Plain,
    /// HTTPS_PROXY: the same in TLS.
    Secure,
}

impl EgressListener {
    /// How it is a forward proxy; `None` where it would capture traffic.
    pub fn proxy(&self) -> Option<ProxyProtocol> {
        let protocol = &self.port.as_ref()?.protocol;
        let is = |it: &str| protocol.eq_ignore_ascii_case(it);
        if is("HTTP_PROXY") { Some(ProxyProtocol::Plain) } else { is("HTTPS_PROXY").then_some(ProxyProtocol::Secure) }
    }
}

/// How traffic reaches a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CaptureMode {
    /// As the environment says.
    Default,
    /// By iptables.
    Iptables,
    /// Not captured.
    None,
}

/// What happens to hosts that no document names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OutboundTrafficPolicy {
    /// Unset is REGISTRY_ONLY here, though a missing policy is ALLOW_ANY.
    pub mode: Option<OutboundMode>,
    /// Proxy for unknown traffic.
    #[schemars(extend("x-support" = "mesh"))]
    pub egress_proxy: Option<Destination>,
}

/// Which hosts may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// Only those that documents name.
    RegistryOnly,
    /// Any.
    AllowAny,
    /// Any, resolved when the request comes.
    AllowAnyDynamicDns,
}
