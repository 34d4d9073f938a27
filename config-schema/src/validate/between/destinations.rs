//! Destinations and the hosts they name: known hosts, subsets and ports.

use std::collections::BTreeMap;

use super::Scene;
use crate::document::Resource;
use crate::istio::service_entry::ServiceEntry;
use crate::istio::shared::Destination;
use crate::istio::shared::selects;
use crate::istio::virtual_service::VirtualService;
use crate::problem::{Problems, Severity, code};
use crate::value::host;

pub(super) fn check(scene: &Scene<'_>, problems: &mut Problems) {
    for service in &scene.documents.virtual_services {
        let for_gateway = service.spec.hosts.is_empty() || service.spec.gateways.iter().any(|it| it != "mesh");
        for (field, destination) in destinations(&service.spec) {
            check_one(scene, service, (&field, destination), for_gateway, problems);
        }
    }
    delegates(scene, problems);
    rules(scene, problems);
    subsets(scene, problems);
    protocols(scene, problems);
}

/// Subsets that select none of the endpoints that documents declare.
fn subsets(scene: &Scene<'_>, problems: &mut Problems) {
    for rule in &scene.documents.destination_rules {
        let name = host::qualify(&rule.spec.host, &rule.metadata.namespace, &scene.settings.node.cluster_domain);
        let labels = scene.registry.endpoint_labels(&name);
        if labels.is_empty() {
            continue;
        }
        for (index, subset) in rule.spec.subsets.iter().enumerate() {
            if labels.iter().any(|it| selects(&subset.labels, it)) {
                continue;
            }
            let message =
                format!("the subset `{}` selects no endpoint of {name}; its requests get 503 UH", subset.name);
            let field = format!("spec.subsets[{index}].labels");
            problems.push(rule.problem(code::EMPTY_SUBSET, Severity::Error, field, message));
        }
    }
}

/// Every destination of a VirtualService with its field.
fn destinations(service: &VirtualService) -> Vec<(String, &Destination)> {
    let mut out = Vec::new();
    for (rule, it) in service.http.iter().enumerate() {
        for (index, route) in it.route.iter().enumerate() {
            out.extend(
                route.destination.iter().map(|it| (format!("spec.http[{rule}].route[{index}].destination"), it)),
            );
        }
        out.extend(it.mirror.as_deref().iter().map(|it| (format!("spec.http[{rule}].mirror"), *it)));
        for (index, mirror) in it.mirrors.iter().enumerate() {
            out.extend(
                mirror.destination.iter().map(|it| (format!("spec.http[{rule}].mirrors[{index}].destination"), it)),
            );
        }
    }
    let tls = service.tls.iter().map(|it| &it.route).enumerate().map(|(index, it)| (format!("spec.tls[{index}]"), it));
    let tcp = service.tcp.iter().map(|it| &it.route).enumerate().map(|(index, it)| (format!("spec.tcp[{index}]"), it));
    for (at, routes) in tls.chain(tcp) {
        for (index, route) in routes.iter().enumerate() {
            out.extend(route.destination.iter().map(|it| (format!("{at}.route[{index}].destination"), it)));
        }
    }
    out
}

fn check_one(
    scene: &Scene<'_>,
    service: &Resource<VirtualService>,
    (field, destination): (&str, &Destination),
    for_gateway: bool,
    problems: &mut Problems,
) {
    let Destination { host, subset, port } = destination;
    let name = host::qualify(host, &service.metadata.namespace, &scene.settings.node.cluster_domain);
    if !subset.is_empty() && !scene.registry.has_subset(&name, subset) {
        let message = format!("host+subset in destinationrule not found: \"{name}+{subset}\"");
        problems.push(service.problem(code::REFERENCE_NOT_FOUND, Severity::Error, format!("{field}.subset"), message));
    }
    let find = |name: &str| scene.registry.find_from(&service.metadata.namespace, name);
    let Some(declared) = find(&name).or_else(|| find(&host.to_ascii_lowercase())) else {
        let message = format!("host `{host}` is declared by no ServiceEntry or Service that this namespace sees");
        let problem = service
            .problem(code::REFERENCE_NOT_FOUND, Severity::Warning, format!("{field}.host"), message)
            .help("it is resolved by DNS; declare a ServiceEntry if that is not meant");
        problems.push(problem);
        return;
    };
    if declared.unresolved && for_gateway {
        let message = format!("host `{host}` has resolution NONE, so a gateway finds no endpoint and answers 503");
        let problem = service
            .problem(code::RESOLUTION_NONE, Severity::Warning, format!("{field}.host"), message)
            .help("use resolution DNS or STATIC");
        problems.push(problem);
    }
    if port.is_none() && declared.ports.len() > 1 {
        let message = format!("host `{host}` has several ports {:?}; say which", declared.ports);
        problems.push(service.problem(code::PORT_REQUIRED, Severity::Error, field, message));
    }
    if let Some(port) = port.as_ref().filter(|it| !declared.ports.contains(&it.number)) {
        let message = format!("host `{host}` has no port {}; it has {:?}", port.number, declared.ports);
        problems.push(service.problem(code::REFERENCE_NOT_FOUND, Severity::Warning, format!("{field}.port"), message));
    }
}

fn delegates(scene: &Scene<'_>, problems: &mut Problems) {
    for service in &scene.documents.virtual_services {
        for (index, rule) in service.spec.http.iter().enumerate() {
            let Some(delegate) = &rule.delegate else { continue };
            let namespace =
                if delegate.namespace.is_empty() { &service.metadata.namespace } else { &delegate.namespace };
            let target = scene
                .documents
                .virtual_services
                .iter()
                .find(|it| it.metadata.name == delegate.name && it.metadata.namespace == *namespace);
            let message = match target {
                None => format!("delegate `{namespace}/{}` does not exist", delegate.name),
                Some(it) if !it.spec.hosts.is_empty() => {
                    format!("`{namespace}/{}` has hosts, so it cannot be a delegate", delegate.name)
                }
                Some(_) => continue,
            };
            let field = format!("spec.http[{index}].delegate");
            problems.push(service.problem(code::REFERENCE_NOT_FOUND, Severity::Error, field, message));
        }
    }
}

fn rules(scene: &Scene<'_>, problems: &mut Problems) {
    if scene.registry.is_empty() {
        return;
    }
    for rule in &scene.documents.destination_rules {
        let name = host::qualify(&rule.spec.host, &rule.metadata.namespace, &scene.settings.node.cluster_domain);
        if !scene.registry.any_within(&name) {
            let message = format!("host `{}` is declared by no ServiceEntry or Service", rule.spec.host);
            problems.push(rule.problem(code::UNKNOWN_RULE_HOST, Severity::Warning, "spec.host", message));
        }
    }
    for check in &scene.documents.health_checks {
        let name = host::qualify(&check.spec.host, &check.metadata.namespace, &scene.settings.node.cluster_domain);
        if !scene.registry.any_within(&name) {
            let message = format!("host `{}` is declared by no ServiceEntry or Service", check.spec.host);
            problems.push(check.problem(code::UNKNOWN_RULE_HOST, Severity::Warning, "spec.host", message));
        }
    }
}

/// ServiceEntries that disagree on the protocol of one port of one host; each of them is told.
fn protocols(scene: &Scene<'_>, problems: &mut Problems) {
    /// An entry, and the protocol that it says.
    type Says<'a> = (&'a Resource<ServiceEntry>, String);
    let mut known: BTreeMap<(String, u32), Vec<Says<'_>>> = BTreeMap::new();
    for entry in &scene.documents.service_entries {
        for port in &entry.spec.ports {
            for name in &entry.spec.hosts {
                let key = (name.to_ascii_lowercase(), port.number);
                known.entry(key).or_default().push((entry, port.protocol.to_ascii_uppercase()));
            }
        }
    }
    for ((name, port), users) in known {
        for (entry, protocol) in &users {
            let Some((other, theirs)) = users.iter().find(|(_, it)| it != protocol) else { continue };
            let owner = format!("{}/{}", other.metadata.namespace, other.metadata.name);
            let message = format!("`{name}` port {port} is {protocol} here and {theirs} in {owner}");
            problems.push(entry.problem(code::CONFLICTING_PROTOCOL, Severity::Warning, "spec.ports", message));
        }
    }
}
