//! EgressCredential: a header that requests to some hosts get on their way out, so that workloads hold no secret.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::istio::shared::LabelSelector;

/// A header with a secret, for requests to these hosts and to no others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EgressCredential {
    /// Workloads; absent is every gateway of the namespace.
    pub selector: Option<LabelSelector>,
    /// Hosts of ServiceEntries, wildcards included. Requests that are read here get the header: reverse, or by a forward proxy
    /// without a tunnel.
    pub hosts: Vec<String>,
    /// Name of the header; default `authorization`. What a client sends in it is replaced.
    pub header: String,
    /// Stands before the secret, such as `Bearer ` with its blank.
    pub prefix: String,
    /// A Secret of the gateway's namespace, or a folder of `secrets.directory`.
    pub credential_name: String,
    /// Its entry; default `token`.
    pub key: String,
}
