//! Decides which routes attach to which listeners, and for which hosts.
//!
//! A route names its Gateways, a listener the namespaces and kinds whose routes it takes,
//! and both name hosts, of which those count that both have. A host belongs to the listener
//! of its port that fits it best (listener isolation), so that a route cannot reach into
//! another listener by a host of its own.

use std::collections::BTreeMap;

use super::GROUP;
use super::http_route::{HttpRoute, ParentRef};
use super::kubernetes_gateway::{AllowedRoutes, FromNamespaces, KubernetesGateway, Listener, RouteNamespaces};
use crate::document::{Documents, Resource};
use crate::istio::shared::selects;
use crate::value::host;

/// Label that every namespace has: its name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The hosts of a route on a listener by these of its parents, in lower case; none where it does not attach.
pub fn hosts(
    route: &Resource<HttpRoute>,
    parents: &[ParentRef],
    (gateway, listener): (&Resource<KubernetesGateway>, &Listener),
    documents: &Documents,
) -> Vec<String> {
    let names = |it: &ParentRef| refers(it, &route.metadata.namespace, gateway) && is_section(it, listener);
    if !parents.iter().any(names) || !admits(gateway, listener, &route.metadata.namespace, documents) {
        return Vec::new();
    }
    let own = host_of(listener);
    let mut written: Vec<String> = route.spec.hostnames.iter().map(|it| it.to_ascii_lowercase()).collect();
    if written.is_empty() {
        written.push(own.clone());
    }
    let mut out: Vec<String> = Vec::new();
    for name in &written {
        if let Some(host) = host::intersect(name, &own)
            && !is_taken(host, gateway, listener)
            && !out.iter().any(|it| it == host)
        {
            out.push(host.to_owned());
        }
    }
    out
}

/// The host of a listener, `*` for every.
pub fn host_of(listener: &Listener) -> String {
    if listener.hostname.is_empty() { "*".to_owned() } else { listener.hostname.to_ascii_lowercase() }
}

/// Whether a parent is this Gateway.
pub fn refers(parent: &ParentRef, namespace: &str, gateway: &Resource<KubernetesGateway>) -> bool {
    let namespace = if parent.namespace.is_empty() { namespace } else { &parent.namespace };
    parent.group == GROUP
        && parent.kind == "Gateway"
        && parent.name == gateway.metadata.name
        && namespace == gateway.metadata.namespace
}

fn is_section(parent: &ParentRef, listener: &Listener) -> bool {
    (parent.section_name.is_empty() || parent.section_name == listener.name)
        && parent.port.is_none_or(|it| it == listener.port)
}

fn admits(gateway: &Resource<KubernetesGateway>, listener: &Listener, namespace: &str, documents: &Documents) -> bool {
    let none = AllowedRoutes::default();
    let AllowedRoutes { namespaces, kinds } = listener.allowed_routes.as_ref().unwrap_or(&none);
    let takes_kind = kinds.is_empty() || kinds.iter().any(|it| it.group == GROUP && it.kind == "HTTPRoute");
    let RouteNamespaces { from, selector } = namespaces.clone().unwrap_or_default();
    let takes_namespace = match from.unwrap_or(FromNamespaces::Same) {
        FromNamespaces::All => true,
        FromNamespaces::None => false,
        FromNamespaces::Same => namespace == gateway.metadata.namespace,
        FromNamespaces::Selector => selector.is_some_and(|it| selects(&it.match_labels, &labels(namespace, documents))),
    };
    takes_kind && takes_namespace
}

fn labels(namespace: &str, documents: &Documents) -> BTreeMap<String, String> {
    let document = documents.namespaces.iter().find(|it| it.metadata.name == namespace);
    let mut labels = document.map(|it| it.metadata.labels.clone()).unwrap_or_default();
    labels.entry(NAMESPACE_NAME.to_owned()).or_insert_with(|| namespace.to_owned());
    labels
}

/// Whether another listener of the port fits a host better.
fn is_taken(name: &str, gateway: &Resource<KubernetesGateway>, listener: &Listener) -> bool {
    let own = host_of(listener);
    let others = gateway.spec.listeners.iter().filter(|it| it.port == listener.port && it.name != listener.name);
    others.map(host_of).any(|it| it != own && host::is_subset(name, &it) && host::is_subset(&it, &own))
}
