//! Secret: certificates and keys.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// Named values; never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Secret {
    /// `kubernetes.io/tls`, `Opaque` …
    #[serde(rename = "type")]
    pub kind: String,
    /// Values in base64.
    pub data: BTreeMap<String, String>,
    /// Values as they are.
    pub string_data: BTreeMap<String, String>,
    /// Refuses changes in the cluster; no effect here.
    pub immutable: Option<bool>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.data.keys().chain(self.string_data.keys()).collect();
        f.debug_struct("Secret").field("type", &self.kind).field("keys", &keys).finish_non_exhaustive()
    }
}
