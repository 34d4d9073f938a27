//! EgressPolicy: whether a forward proxy refuses what nobody declares, and how much a client may have.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::istio::gateway::ServerTls;
use crate::istio::shared::LabelSelector;
use crate::native::egress_settings::TlsInTunnel;
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
    /// Hosts whose TLS ends here, inside of tunnels, so that their requests are judged like others; of several
    /// policies that name a host the oldest says.
    pub interception: Option<Interception>,
}

/// Hosts whose TLS ends here, inside of tunnels.
///
/// The gateway shows clients a certificate of its own making, reads each request (its host must be the one that
/// CONNECT named), lets policies, limits and credentials have their say, and speaks TLS to the destination itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Interception {
    /// Names, `*.suffix`, or `*` for all; the tunnels of other hosts, and of addresses, pass as they are.
    pub hosts: Vec<String>,
    /// Secret or folder of the authority that signs (`tls.crt`, and `tls.key` in PKCS#8); clients must trust it.
    pub credential_name: String,
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
    /// What must be said in tunnels; stands for `egress.tlsInTunnel` of GatewaySettings. Of several policies the strictest says.
    pub tls_in_tunnel: Option<TlsInTunnel>,
}
