//! Namespace: read for its labels, by which listeners choose the namespaces whose routes they take.

use schemars::JsonSchema;
use serde::Deserialize;

/// A namespace; what it says stands in its metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename = "KubernetesNamespace", rename_all = "camelCase", default)]
pub struct Namespace {
    /// Who may delete it; no effect here.
    pub finalizers: Vec<String>,
}
