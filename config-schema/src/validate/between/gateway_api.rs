//! Routes of the Gateway API and what they refer to: Gateways, backends, Secrets, grants.

use super::Scene;
use crate::document::Resource;
use crate::gateway_api::http_route::{BackendKind, BackendRef, HttpRoute};
use crate::gateway_api::kubernetes_gateway::KubernetesGateway;
use crate::gateway_api::{GATEWAY_NAME, GROUP, attachment, reference_grant};
use crate::istio::shared::TargetRef;
use crate::problem::{Problems, Severity, code};
use crate::value::host;

pub(super) fn check(scene: &Scene<'_>, problems: &mut Problems) {
    for route in &scene.documents.http_routes {
        parents(scene, route, problems);
        for (index, rule) in route.spec.rules.iter().enumerate() {
            let backends = rule.backend_refs.iter().enumerate();
            let backends = backends.map(|(number, it)| (format!("spec.rules[{index}].backendRefs[{number}]"), it));
            let mirrors = rule.filters.iter().enumerate().filter_map(|(number, it)| {
                let field = format!("spec.rules[{index}].filters[{number}].requestMirror.backendRef");
                Some((field, &it.request_mirror.as_ref()?.backend_ref))
            });
            for (field, it) in backends.chain(mirrors) {
                backend(scene, route, (&field, it), problems);
            }
        }
    }
    for gateway in &scene.documents.kubernetes_gateways {
        certificates(scene, gateway, problems);
    }
    targets(scene, problems);
}

/// Gateways that nobody declares, and those of which no listener takes the route.
fn parents(scene: &Scene<'_>, route: &Resource<HttpRoute>, problems: &mut Problems) {
    let namespace = &route.metadata.namespace;
    for (index, parent) in route.spec.parent_refs.iter().enumerate() {
        if parent.group != GROUP || parent.kind != "Gateway" {
            continue;
        }
        let field = format!("spec.parentRefs[{index}]");
        let mut gateways = scene.documents.kubernetes_gateways.iter();
        let Some(gateway) = gateways.find(|it| attachment::refers(parent, namespace, it)) else {
            let message = format!("referenced Gateway not found: \"{}\"", parent.name);
            let problem = route.problem(code::REFERENCE_NOT_FOUND, Severity::Warning, field, message);
            problems.push(problem.help(format!("declare a Gateway of {GROUP} with this name and namespace")));
            continue;
        };
        let parents = std::slice::from_ref(parent);
        let takes = |it| !attachment::hosts(route, parents, (gateway, it), scene.documents).is_empty();
        if !gateway.spec.listeners.iter().any(takes) {
            let message = format!("no listener of Gateway `{}` takes the route", parent.name);
            let problem = route.problem(code::HOST_NOT_IN_GATEWAY, Severity::Warning, field, message);
            problems.push(problem.help("compare hostnames, sectionName, port, and allowedRoutes of the listeners"));
        }
    }
}

/// Backends that may not be used, and those that nobody declares.
fn backend(
    scene: &Scene<'_>,
    route: &Resource<HttpRoute>,
    (field, backend): (&str, &BackendRef),
    problems: &mut Problems,
) {
    let own = route.metadata.namespace.as_str();
    let reference = backend.reference(own);
    let (owner, name) = reference.to;
    let is_granted = reference_grant::is_granted(reference, &scene.documents.reference_grants);
    let kind = backend.known_kind();
    if kind == Some(BackendKind::Service) && !is_granted {
        let message = format!(
            "no ReferenceGrant in `{owner}` lets HTTPRoutes of `{own}` refer to it: its share is answered with 500"
        );
        let problem = route.problem(code::REFERENCE_NOT_FOUND, Severity::Warning, field, message);
        problems.push(problem.help(format!("add a ReferenceGrant to namespace `{owner}`")));
        return;
    }
    let name = match kind {
        Some(BackendKind::Hostname) => name.to_ascii_lowercase(),
        Some(BackendKind::Service) | None => host::qualify(name, owner, &scene.settings.node.cluster_domain),
    };
    if !scene.registry.is_empty() && scene.registry.find(&name).is_none() {
        let message = format!("host `{name}` is declared by no ServiceEntry or Service");
        let problem = route.problem(code::REFERENCE_NOT_FOUND, Severity::Warning, format!("{field}.name"), message);
        problems.push(problem.help("it is resolved by DNS; declare a ServiceEntry if that is not meant"));
    }
}

/// Certificates that may not be used, and those that are in no Secret.
fn certificates(scene: &Scene<'_>, gateway: &Resource<KubernetesGateway>, problems: &mut Problems) {
    let own = gateway.metadata.namespace.as_str();
    for (index, listener) in gateway.spec.listeners.iter().enumerate() {
        for (number, it) in listener.tls.iter().flat_map(|it| it.certificate_refs.iter().enumerate()) {
            let reference = it.reference(own);
            let (owner, name) = reference.to;
            let secrets = &scene.documents.secrets;
            let is_there = scene.settings.secrets.is_some()
                || secrets.iter().any(|it| it.metadata.name == name && it.metadata.namespace == owner);
            let (message, help) = if !reference_grant::is_granted(reference, &scene.documents.reference_grants) {
                (format!("no ReferenceGrant in `{owner}` lets Gateways of `{own}` use the Secret"), "add one there")
            } else if !is_there {
                let message =
                    format!("the credential `{owner}/{name}` is in no Secret, so this listener cannot end TLS");
                (message, "add the Secret as a document, or set secrets.directory in GatewaySettings")
            } else {
                continue;
            };
            let field = format!("spec.listeners[{index}].tls.certificateRefs[{number}]");
            problems.push(gateway.problem(code::REFERENCE_NOT_FOUND, Severity::Warning, field, message).help(help));
        }
    }
}

/// Policies for a Gateway, where nobody says which of several Gateways this process is.
fn targets<'a>(scene: &Scene<'a>, problems: &mut Problems) {
    let gateways = &scene.documents.kubernetes_gateways;
    if gateways.len() < 2 || scene.settings.node.labels.contains_key(GATEWAY_NAME) {
        return;
    }
    let name = |it: &'a TargetRef| (it.kind == "Gateway").then_some(it.name.as_str());
    for it in &scene.documents.request_authentications {
        target(it, it.spec.target_refs.iter().chain(&it.spec.target_ref).filter_map(name), gateways, problems);
    }
    for it in &scene.documents.authorization_policies {
        target(it, it.spec.target_refs.iter().chain(&it.spec.target_ref).filter_map(name), gateways, problems);
    }
    for it in &scene.documents.api_key_authentications {
        target(it, it.spec.target_refs.iter().filter_map(name), gateways, problems);
    }
    for it in &scene.documents.basic_authentications {
        target(it, it.spec.target_refs.iter().filter_map(name), gateways, problems);
    }
    for it in &scene.documents.rate_limit_policies {
        let ours = it.spec.target_refs.iter().filter(|it| it.group == GROUP && it.kind == "Gateway");
        target(it, ours.map(|it| it.name.as_str()), gateways, problems);
    }
}

fn target<'a, T>(
    policy: &Resource<T>,
    mut names: impl Iterator<Item = &'a str>,
    gateways: &[Resource<KubernetesGateway>],
    problems: &mut Problems,
) {
    let Some(name) = names.find(|name| gateways.iter().any(|it| it.metadata.name == *name)) else { return };
    let message = format!("the policy is for Gateway `{name}`, but this process serves several and would not apply it");
    let problem = policy.problem(code::NO_WORKLOAD, Severity::Error, "spec", message);
    problems.push(
        problem.help(format!("set node.labels `{GATEWAY_NAME}` in GatewaySettings: one process for each Gateway")),
    );
}
