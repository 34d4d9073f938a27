//! PeerAuthentication: mutual TLS between sidecars, which a gateway reads and does not use.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::shared::LabelSelector;

/// Mutual TLS of sidecars; Gateway servers say their own in `tls`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PeerAuthentication {
    /// Workloads; default all of the namespace.
    #[schemars(extend("x-support" = "mesh"))]
    pub selector: Option<LabelSelector>,
    /// For all ports.
    #[schemars(extend("x-support" = "mesh"))]
    pub mtls: Option<MutualTls>,
    /// For single ports; needs a selector.
    #[schemars(extend("x-support" = "mesh"))]
    pub port_level_mtls: BTreeMap<String, MutualTls>,
}

/// Whether mutual TLS is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MutualTls {
    /// Mode; UNSET inherits.
    pub mode: Option<MutualTlsMode>,
}

/// Modes of mutual TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MutualTlsMode {
    /// Inherits.
    Unset,
    /// Plain text.
    Disable,
    /// Either.
    Permissive,
    /// Only mutual TLS.
    Strict,
}
