//! EnvoyFilter: read for the rate-limit payloads only; everything else is refused by name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::shared::{TargetRef, WorkloadSelector};

/// Patches to an Envoy configuration.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EnvoyFilter {
    /// Workloads; not together with targetRefs.
    pub workload_selector: Option<WorkloadSelector>,
    /// Resources it attaches to.
    pub target_refs: Vec<TargetRef>,
    /// Patches, applied in order.
    pub config_patches: Vec<ConfigPatch>,
    /// Lower ones are applied first.
    pub priority: i32,
}

/// One patch.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConfigPatch {
    /// What is patched.
    pub apply_to: Option<ApplyTo>,
    /// Where it is.
    #[serde(rename = "match")]
    pub selector: Option<PatchMatch>,
    /// How it changes.
    pub patch: Option<Patch>,
}

/// What is patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are Envoy's and say it all")]
pub enum ApplyTo {
    Invalid,
    Listener,
    FilterChain,
    NetworkFilter,
    HttpFilter,
    RouteConfiguration,
    VirtualHost,
    HttpRoute,
    Cluster,
    ExtensionConfig,
    Bootstrap,
    ListenerFilter,
}

/// Where the patched thing is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PatchMatch {
    /// Kind of proxy; patches for others than gateways are not for us.
    pub context: Option<PatchContext>,
    /// Version and metadata of the proxy.
    pub proxy: Option<ProxyMatch>,
    /// A listener.
    pub listener: Option<Value>,
    /// A route configuration.
    pub route_configuration: Option<Value>,
    /// A cluster.
    pub cluster: Option<Value>,
    /// A waypoint.
    pub waypoint: Option<Value>,
}

/// Kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are Istio's and say it all")]
pub enum PatchContext {
    Any,
    SidecarInbound,
    SidecarOutbound,
    Gateway,
    Waypoint,
}

/// A proxy by version and metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProxyMatch {
    /// Regular expression on Istio's version.
    pub proxy_version: String,
    /// Metadata of the proxy.
    pub metadata: BTreeMap<String, String>,
}

/// How it changes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Patch {
    /// What is done.
    pub operation: Option<Operation>,
    /// Envoy configuration in JSON form.
    pub value: Option<Value>,
    /// Where a filter is placed.
    pub filter_class: Option<FilterClass>,
}

/// What a patch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are Istio's and say it all")]
pub enum Operation {
    Invalid,
    Merge,
    Add,
    Remove,
    InsertBefore,
    InsertAfter,
    InsertFirst,
    Replace,
    MergeAndReplaceList,
}

/// Where a filter is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are Istio's and say it all")]
pub enum FilterClass {
    Unspecified,
    Authn,
    Authz,
    Stats,
}

/// The payloads that are read, by the end of their `@type`.
pub const RATE_LIMIT_TYPES: [&str; 2] = [
    "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
    "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
];
