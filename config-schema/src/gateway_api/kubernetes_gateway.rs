//! Gateway of the Gateway API: listeners, and which routes may attach to them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::GROUP;
use super::reference_grant::Reference;
use crate::istio::shared::LabelSelector;

/// Listeners of this gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KubernetesGateway {
    /// Class; whatever it is, the Gateway is this gateway's unless `node.labels` names another.
    pub gateway_class_name: String,
    /// The listeners; 1 to 64.
    pub listeners: Vec<Listener>,
    /// Addresses that a cluster would give it; the settings say what is bound.
    #[schemars(extend("x-support" = "mesh"))]
    pub addresses: Vec<Value>,
    /// Who may add listeners by ListenerSets, which are not read.
    #[schemars(extend("x-support" = "later"))]
    pub allowed_listeners: Option<Value>,
    /// Not offered; client certificates are asked for by MUTUAL of an Istio Gateway, those for backends stand in a
    /// DestinationRule.
    pub tls: Option<Value>,
    /// Labels and parameters of what a cluster would create.
    #[schemars(extend("x-support" = "mesh"))]
    pub infrastructure: Option<Value>,
}

/// One listener: a port, a host, its TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Listener {
    /// Name, unique in the Gateway; routes attach to it as `sectionName`.
    pub name: String,
    /// Host served, with a wildcard only as first label; empty is every host. A request belongs to the listener
    /// whose host fits it best, and to no other.
    pub hostname: String,
    /// Port to listen on; `portMap` of the settings may bind another.
    pub port: u32,
    /// HTTP or HTTPS.
    pub protocol: String,
    /// How connections are secured; required for HTTPS.
    pub tls: Option<ListenerTls>,
    /// Which routes may attach; default are HTTPRoutes of the Gateway's own namespace.
    pub allowed_routes: Option<AllowedRoutes>,
}

/// TLS towards clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ListenerTls {
    /// What happens to TLS; default Terminate.
    pub mode: Option<ListenerTlsMode>,
    /// Secrets with certificate and key; those of another namespace need a ReferenceGrant there.
    pub certificate_refs: Vec<SecretRef>,
    /// Settings of single implementations.
    #[schemars(extend("x-support" = "later"))]
    pub options: BTreeMap<String, String>,
}

/// What happens to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ListenerTlsMode {
    /// It ends here.
    Terminate,
    /// Not offered for HTTPRoutes; use PASSTHROUGH of an Istio Gateway.
    Passthrough,
}

/// A Secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SecretRef {
    /// The core group, which is empty.
    pub group: String,
    /// Secret.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; default the Gateway's.
    pub namespace: String,
}

impl Default for SecretRef {
    fn default() -> Self {
        Self { group: String::new(), kind: "Secret".to_owned(), name: String::new(), namespace: String::new() }
    }
}

impl SecretRef {
    /// The reference, as made by a Gateway of a namespace.
    pub fn reference<'a>(&'a self, namespace: &'a str) -> Reference<'a> {
        let owner = if self.namespace.is_empty() { namespace } else { &self.namespace };
        Reference { from: ("Gateway", namespace), kind: (&self.group, &self.kind), to: (owner, &self.name) }
    }
}

/// Which routes may attach to a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AllowedRoutes {
    /// Namespaces; default the Gateway's own.
    pub namespaces: Option<RouteNamespaces>,
    /// Kinds; default HTTPRoute.
    pub kinds: Vec<RouteKind>,
}

/// Namespaces whose routes may attach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteNamespaces {
    /// Which; default Same.
    pub from: Option<FromNamespaces>,
    /// Labels that they must have, with `from: Selector`. Namespace documents tell labels; every namespace has
    /// `kubernetes.io/metadata.name`.
    pub selector: Option<LabelSelector>,
}

/// A choice of namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum FromNamespaces {
    /// All.
    All,
    /// Those that the selector chooses.
    Selector,
    /// The Gateway's own.
    Same,
    /// None.
    None,
}

/// A kind of route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteKind {
    /// Group; default the Gateway API's.
    pub group: String,
    /// HTTPRoute.
    pub kind: String,
}

impl Default for RouteKind {
    fn default() -> Self {
        Self { group: GROUP.to_owned(), kind: String::new() }
    }
}
