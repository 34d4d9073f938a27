//! What the settings say of ways out: addresses, times, and what must be said in tunnels.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::value::Duration;

/// What holds for all ways out of forward proxies (Sidecar listeners of protocol HTTP_PROXY).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EgressSettings {
    /// Networks that names may lead to though they are private or special; one with public addresses in it names none of those.
    pub allowed_addresses: Vec<String>,
    /// What must be said in tunnels; default Verify.
    pub tls_in_tunnel: Option<TlsInTunnel>,
    /// Passes on what clients say of the proxies before (`Via`, RFC 9110 §7.6.3); default false, since it speaks of the inside.
    pub keep_via: bool,
    /// Longest silence in a tunnel; default 10m.
    pub idle_timeout: Option<Duration>,
    /// Longest life of a tunnel; default none.
    pub max_duration: Option<Duration>,
    /// Bound on connecting; default 5s.
    pub connect_timeout: Option<Duration>,
    /// How long a tunnel lasts whose destination is not allowed any more; default 30s.
    pub revocation_grace: Option<Duration>,
}

/// What must be said in tunnels.
///
/// From the laxest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub enum TlsInTunnel {
    /// Anything.
    Off,
    /// On ports of protocol TLS and HTTPS, a handshake that names the host of CONNECT.
    Verify,
    /// The same on all ports.
    Require,
}
