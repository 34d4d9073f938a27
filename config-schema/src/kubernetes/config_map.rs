//! ConfigMap: read for the configuration of a rate-limit service; others are left alone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Named texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConfigMap {
    /// Texts; one with `domain` and `descriptors` configures rate limits.
    pub data: BTreeMap<String, String>,
    /// Bytes in base64; not read.
    pub binary_data: BTreeMap<String, String>,
    /// Refuses changes in the cluster; no effect here.
    pub immutable: Option<bool>,
}
