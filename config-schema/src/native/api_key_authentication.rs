//! ApiKeyAuthentication: clients that are known by a secret they show.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::istio::shared::{LabelSelector, TargetRef};

/// Keys that are accepted; a key that is presented must be known, and one must be presented unless `optional`.
///
/// A client with a key has the request principal `apikey/<client>` in AuthorizationPolicies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ApiKeyAuthentication {
    /// Workloads; not together with targetRefs.
    pub selector: Option<LabelSelector>,
    /// Resources it attaches to.
    pub target_refs: Vec<TargetRef>,
    /// Where keys stand in a request; default the header `x-api-key`.
    pub key_from: Vec<KeyFrom>,
    /// Clients and the digests of their keys.
    pub clients: Vec<ApiKeyClient>,
    /// A file with a line `client:digest` for each key; read at each reload.
    pub file: String,
    /// A Secret of the gateway's namespace, or a folder of `secrets.directory`: an entry for each client, with its key or `sha256:<digest>`.
    pub credential_name: String,
    /// Admits requests without a key, so that AuthorizationPolicies decide.
    pub optional: bool,
    /// Passes the key on to the upstream; by default it is taken out. Cookies always stay.
    pub forward_key: bool,
    /// Header that tells the upstream the client's name.
    pub client_header: String,
}

/// A place in a request; exactly one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KeyFrom {
    /// Name of a header.
    pub header: Option<String>,
    /// Name of a query parameter.
    pub query: Option<String>,
    /// Name of a cookie.
    pub cookie: Option<String>,
}

/// A client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ApiKeyClient {
    /// Its name.
    pub name: String,
    /// SHA-256 of its keys, in hex; several while a key is being replaced.
    pub sha256: Vec<String>,
}
