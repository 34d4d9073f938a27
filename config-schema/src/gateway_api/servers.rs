//! Turns the listeners of the Gateway API into servers of Gateways, each in a Gateway of its own.
//!
//! A Gateway made so is called `<gateway>.<listener>`, which no VirtualService can name, has
//! its listener's name on its server, and stands where its document stands. Which listeners
//! are this gateway's: those of the Gateway that `node.labels` names
//! (`gateway.networking.k8s.io/gateway-name`), or all when it names none.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::kubernetes_gateway::{KubernetesGateway, Listener, SecretRef};
use super::reference_grant::{ReferenceGrant, is_granted};
use super::{CREDENTIAL, GATEWAY_NAME};
use crate::document::{Documents, Resource};
use crate::istio::gateway::{Gateway, Port, Server, ServerTls, TlsMode};
use crate::native::settings::GatewaySettings;

/// Adds the servers to the documents.
///
/// Policies attach to a Gateway by its name; where there is one only and the settings do not
/// say which one this is, it is that one.
pub(crate) fn add(documents: &mut Documents, settings: &mut GatewaySettings) {
    let labels = &mut settings.node.labels;
    if let [only] = documents.kubernetes_gateways.as_slice() {
        labels.entry(GATEWAY_NAME.to_owned()).or_insert_with(|| only.metadata.name.clone());
    }
    let is_ours =
        |it: &&Resource<KubernetesGateway>| labels.get(GATEWAY_NAME).is_none_or(|own| *own == it.metadata.name);
    let made: Vec<_> = documents
        .kubernetes_gateways
        .iter()
        .filter(is_ours)
        .flat_map(|gateway| gateway.spec.listeners.iter().map(move |it| (gateway, it)))
        .filter(|(_, it)| matches!(it.protocol.as_str(), "HTTP" | "HTTPS"))
        .map(|(gateway, listener)| server(gateway, listener, &documents.reference_grants))
        .collect();
    documents.gateways.extend(made);
}

fn server(
    gateway: &Resource<KubernetesGateway>,
    listener: &Listener,
    grants: &[Resource<ReferenceGrant>],
) -> Resource<Gateway> {
    let Listener { name, hostname, port, protocol, tls, allowed_routes: _ } = listener;
    let namespace = gateway.metadata.namespace.as_str();
    let credential = |it: &SecretRef| {
        let reference = it.reference(namespace);
        let (owner, name) = reference.to;
        // One that is not granted is not looked for; the listener goes without it.
        is_granted(reference, grants).then(|| format!("{CREDENTIAL}{owner}/{name}"))
    };
    let tls = tls.as_ref().map(|it| ServerTls {
        mode: Some(TlsMode::Simple),
        credential_names: it.certificate_refs.iter().filter_map(credential).collect(),
        ..ServerTls::default()
    });
    let mut metadata = gateway.metadata.clone();
    metadata.name = format!("{}.{name}", metadata.name);
    let server = Server {
        port: Some(Port { number: *port, protocol: protocol.clone(), name: name.clone(), ..Port::default() }),
        hosts: vec![if hostname.is_empty() { "*".to_owned() } else { hostname.clone() }],
        tls: tls.filter(|_| protocol == "HTTPS"),
        name: name.clone(),
        ..Server::default()
    };
    let spec = Gateway { servers: vec![server], selector: BTreeMap::new() };
    Resource { metadata, spec: Arc::new(spec), origin: gateway.origin, kind: gateway.kind }
}
