//! EgressPolicy: whether a forward proxy refuses what nobody declares, and how much a client may have.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::istio::gateway::ServerTls;
use crate::istio::shared::LabelSelector;
use crate::value::Duration;

/// What holds for forward proxies (Sidecar listeners of protocol HTTP_PROXY or HTTPS_PROXY).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EgressPolicy {
    /// Workloads; absent is every gateway of the namespace.
    pub selector: Option<LabelSelector>,
    /// Ports of the listeners; empty is all.
    pub ports: Vec<u32>,
    /// Whether destinations that nobody declares are refused; default Enforce.
    pub mode: Option<EgressMode>,
    /// Bounds on tunnels.
    pub tunnels: TunnelBounds,
    /// How listeners of protocol HTTPS_PROXY end their clients' TLS; of several policies the oldest says.
    pub tls: Option<ServerTls>,
}

/// Whether destinations that nobody declares are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum EgressMode {
    /// They are.
    Enforce,
    /// They pass, and are noted for `sluice egress learn`; addresses are vetted all the same.
    Audit,
}

/// Bounds on tunnels; absent or 0 is no bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TunnelBounds {
    /// Most tunnels of one client address at once.
    pub per_client: u32,
    /// Most tunnels to one host at once.
    pub per_host: u32,
    /// Most bytes in each direction of a tunnel.
    pub max_bytes: u64,
    /// Longest life of a tunnel; stands for `egress.maxDuration` of GatewaySettings.
    pub max_duration: Option<Duration>,
    /// Longest silence in a tunnel; stands for `egress.idleTimeout` of GatewaySettings.
    pub idle_timeout: Option<Duration>,
}
