//! Messages that several of Istio's kinds use.

use std::collections::BTreeMap;

use litemap::LiteMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where traffic goes: a host of the registry, one of its subsets, one of its ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Destination {
    /// Host of a ServiceEntry or Service; a short name is completed with the document's namespace.
    pub host: String,
    /// Name of a subset of the host's DestinationRule.
    pub subset: String,
    /// Port of the host; may be left out when the host has only one.
    pub port: Option<PortSelector>,
}

/// A port by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PortSelector {
    /// 1 to 65535.
    pub number: u32,
}

/// Changes to the headers of requests and responses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Headers {
    /// Before the request is forwarded.
    pub request: HeaderOperations,
    /// Before the response is returned.
    pub response: HeaderOperations,
}

/// What is removed, then set, then added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HeaderOperations {
    /// Replaces all values of a header. Values may hold `%…%` commands; `%%` is a percent sign.
    #[schemars(with = "BTreeMap<String, String>")]
    pub set: LiteMap<String, String>,
    /// Appends a value to a header.
    #[schemars(with = "BTreeMap<String, String>")]
    pub add: LiteMap<String, String>,
    /// Removes a header.
    pub remove: Vec<String>,
}

/// Workloads by their labels, as the networking kinds write it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WorkloadSelector {
    /// All of these labels; empty selects every workload of the namespace.
    pub labels: BTreeMap<String, String>,
}

/// Workloads by their labels, as the policy kinds write it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LabelSelector {
    /// All of these labels; empty selects every workload of the namespace.
    pub match_labels: BTreeMap<String, String>,
}

/// Whether something with these labels has all that are wanted; nothing wanted fits everything.
pub fn selects(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether a document of `owner` with this `exportTo` is seen by documents and proxies of `viewer`.
///
/// Where it is absent, `default` is what the mesh says for its kind; where that is absent too, everybody sees it.
pub fn is_exported(export_to: &[String], default: &[String], owner: &str, viewer: &str) -> bool {
    let export_to = if export_to.is_empty() { default } else { export_to };
    export_to.is_empty()
        || export_to.iter().any(|it| match it.as_str() {
            "*" => true,
            "." => owner == viewer,
            // Nobody; stands alone.
            "~" => false,
            name => name == viewer,
        })
}

/// The resource a policy attaches to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TargetRef {
    /// API group, as `gateway.networking.k8s.io`; empty is the core group.
    pub group: String,
    /// Kind, as `Gateway`.
    pub kind: String,
    /// Name in the policy's namespace.
    pub name: String,
    /// Must be the policy's own namespace, or empty.
    pub namespace: String,
}
