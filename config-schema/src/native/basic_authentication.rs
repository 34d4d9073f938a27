//! BasicAuthentication: users that are known by a password (RFC 7617).

use schemars::JsonSchema;
use serde::Deserialize;

use crate::istio::shared::{LabelSelector, TargetRef};

/// Users and passwords in htpasswd's form; a password that is presented must be right, and one must be presented unless `optional`.
///
/// A user has the request principal `basic/<user>` in AuthorizationPolicies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BasicAuthentication {
    /// Workloads; not together with targetRefs.
    pub selector: Option<LabelSelector>,
    /// Resources it attaches to.
    pub target_refs: Vec<TargetRef>,
    /// The lines themselves: `user:hash`, bcrypt (`$2y$…`) or argon2 (`$argon2id$…`).
    pub htpasswd: String,
    /// A file with such lines; read at each reload.
    pub file: String,
    /// A Secret of the gateway's namespace, or a folder of `secrets.directory`, with such lines in its entry `auth` or `.htpasswd`.
    pub credential_name: String,
    /// What browsers show to those they ask; default the address that is asked for.
    pub realm: String,
    /// Admits requests without a password, so that AuthorizationPolicies decide.
    pub optional: bool,
    /// Passes the password on to the upstream; by default it is taken out.
    pub forward_credentials: bool,
    /// Header that tells the upstream the user's name.
    pub user_header: String,
}
