//! Policies and what they attach to: selectors that match, claims that somebody checks.

use std::collections::BTreeMap;

use super::Scene;
use crate::document::{Metadata, Resource};
use crate::gateway_api::{GATEWAY_NAME, GROUP};
use crate::istio::gateway::Gateway;
use crate::istio::shared::selects;
use crate::istio::telemetry::Telemetry;
use crate::istio::virtual_service::VirtualService;
use crate::native::rate_limit_policy::{RateLimitPolicy, RateLimitTarget};
use crate::problem::{Problems, Severity, code};
use crate::value::host;

/// Prefix of header names that stand for a claim of the request's token.
const CLAIMS: &str = "@request.auth.claims";

pub(super) fn check(scene: &Scene<'_>, problems: &mut Problems) {
    for it in &scene.documents.request_authentications {
        workloads(scene, it, it.spec.selector.as_ref().map(|it| &it.match_labels), problems);
    }
    for it in &scene.documents.authorization_policies {
        workloads(scene, it, it.spec.selector.as_ref().map(|it| &it.match_labels), problems);
    }
    for it in &scene.documents.api_key_authentications {
        workloads(scene, it, it.spec.selector.as_ref().map(|it| &it.match_labels), problems);
    }
    for it in &scene.documents.basic_authentications {
        workloads(scene, it, it.spec.selector.as_ref().map(|it| &it.match_labels), problems);
    }
    for it in &scene.documents.rate_limit_policies {
        workloads(scene, it, it.spec.selector.as_ref().map(|it| &it.match_labels), problems);
        rate_limit_targets(scene, it, problems);
    }
    for it in &scene.documents.peer_authentications {
        let message = "PeerAuthentication has no impact at a gateway: its servers say their own TLS";
        problems.push(it.problem(code::INEFFECTIVE_POLICY, Severity::Warning, "spec", message));
    }
    for it in &scene.documents.telemetries {
        if let Some(selector) = &it.spec.selector {
            is_ineffective(it, &selector.match_labels, problems);
        }
    }
    claims(scene, problems);
    telemetries(scene, problems);
}

/// A selector that leaves this gateway out.
fn workloads<T>(
    scene: &Scene<'_>,
    policy: &Resource<T>,
    labels: Option<&BTreeMap<String, String>>,
    problems: &mut Problems,
) {
    let Some(labels) = labels.filter(|it| !it.is_empty()) else { return };
    if is_ineffective(policy, labels, problems) {
        return;
    }
    let own = &scene.settings.node.labels;
    if selects(labels, own) {
        return;
    }
    let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let message = format!("no matching workload for the labels {}; this gateway has others", wanted.join(","));
    let problem = policy
        .problem(code::NO_WORKLOAD, Severity::Warning, "spec.selector", message)
        .help("set node.labels in GatewaySettings if the policy is meant for this gateway");
    problems.push(problem);
}

/// Whether a selector is one by a Gateway of the Gateway API, where only targetRefs select.
fn is_ineffective<T>(policy: &Resource<T>, labels: &BTreeMap<String, String>, problems: &mut Problems) -> bool {
    let Some(name) = labels.get(GATEWAY_NAME) else { return false };
    let message = format!("ineffective selector on Kubernetes Gateway {name}: use targetRefs instead");
    problems.push(policy.problem(code::INEFFECTIVE_SELECTOR, Severity::Warning, "spec.selector", message));
    true
}

/// What a rate limit attaches to and nobody declares, or a namespace whose policies are not for this gateway.
fn rate_limit_targets(scene: &Scene<'_>, policy: &Resource<RateLimitPolicy>, problems: &mut Problems) {
    let namespace = &policy.metadata.namespace;
    if policy.spec.target_refs.is_empty() && !scene.settings.takes_policies_of(namespace) {
        let message = format!("policies of namespace `{namespace}` without targetRefs are not for this gateway");
        let problem = policy.problem(code::INEFFECTIVE_POLICY, Severity::Warning, "metadata.namespace", message);
        let (own, root) = (&scene.settings.node.namespace, scene.settings.root_namespace());
        problems.push(problem.help(format!("put it into `{own}` or `{root}`, or name a VirtualService in targetRefs")));
    }
    for (index, it) in policy.spec.target_refs.iter().enumerate() {
        let RateLimitTarget { group, kind, name, section_name } = it;
        let is_named = |metadata: &Metadata| metadata.namespace == *namespace && metadata.name == *name;
        let service = scene.documents.virtual_services.iter().find(|it| is_named(&it.metadata));
        let found = match (group.as_str(), kind.as_str()) {
            ("networking.istio.io", "Gateway") => scene.documents.gateways.iter().any(|it| is_named(&it.metadata)),
            ("networking.istio.io", "VirtualService") => service
                .is_some_and(|it| section_name.is_empty() || it.spec.http.iter().any(|it| it.name == *section_name)),
            (GROUP, "HTTPRoute") => scene.documents.http_routes.iter().any(|it| {
                is_named(&it.metadata)
                    && (section_name.is_empty() || it.spec.rules.iter().any(|it| it.name == *section_name))
            }),
            _ => true,
        };
        if !found {
            let route = if section_name.is_empty() { String::new() } else { format!(", http route {section_name}") };
            let message = format!("referenced {kind} not found: \"{namespace}/{name}{route}\"");
            let field = format!("spec.targetRefs[{index}]");
            problems.push(policy.problem(code::REFERENCE_NOT_FOUND, Severity::Error, field, message));
        }
    }
}

/// Routing by claims, and no document that checks tokens for the gateways of the routes.
fn claims(scene: &Scene<'_>, problems: &mut Problems) {
    for service in &scene.documents.virtual_services {
        for (rule, http) in service.spec.http.iter().enumerate() {
            for (index, it) in http.matches.iter().enumerate() {
                let keys = it.headers.keys().chain(it.without_headers.keys());
                let Some(key) = keys.into_iter().find(|it| it.to_ascii_lowercase().starts_with(CLAIMS)) else {
                    continue;
                };
                if checks_tokens(scene, service) {
                    continue;
                }
                let message = format!("routes by `{key}`, but no RequestAuthentication checks tokens");
                let field = format!("spec.http[{rule}].match[{index}].headers");
                problems.push(service.problem(code::CLAIMS_WITHOUT_AUTHENTICATION, Severity::Error, field, message));
            }
        }
    }
}

/// Whether a RequestAuthentication selects the workloads of one of a VirtualService's gateways.
fn checks_tokens(scene: &Scene<'_>, service: &Resource<VirtualService>) -> bool {
    let names = service.spec.gateways.iter().map(|it| host::split_namespace(it, &service.metadata.namespace));
    let bound: Vec<_> = names
        .filter_map(|(namespace, name)| {
            let is_it = |it: &&Resource<Gateway>| it.metadata.namespace == namespace && it.metadata.name == name;
            scene.documents.gateways.iter().find(is_it)
        })
        .collect();
    scene.documents.request_authentications.iter().any(|policy| {
        let Some(selector) = policy.spec.selector.as_ref().filter(|it| !it.match_labels.is_empty()) else {
            return true;
        };
        selects(&selector.match_labels, &scene.settings.node.labels)
            || bound.iter().any(|it| selects(&selector.match_labels, &it.spec.selector))
    })
}

/// Telemetries of one namespace that select the same workloads; each of them is told.
fn telemetries(scene: &Scene<'_>, problems: &mut Problems) {
    /// A namespace, and labels of workloads.
    type Aim<'a> = (&'a str, BTreeMap<String, String>);
    let mut users: BTreeMap<Aim<'_>, Vec<&Resource<Telemetry>>> = BTreeMap::new();
    for it in &scene.documents.telemetries {
        if !it.spec.target_refs.is_empty() || it.spec.target_ref.is_some() {
            continue;
        }
        let labels = it.spec.selector.as_ref().map(|it| it.match_labels.clone()).unwrap_or_default();
        users.entry((&it.metadata.namespace, labels)).or_default().push(it);
    }
    for ((_, labels), telemetries) in users.iter().filter(|(_, it)| it.len() > 1) {
        let (code, what) = if labels.is_empty() {
            (code::SEVERAL_TELEMETRIES, "has no selector either")
        } else {
            (code::CONFLICTING_TELEMETRIES, "selects the same workloads")
        };
        for it in telemetries {
            let Some(other) = telemetries.iter().find(|other| !std::ptr::eq(**other, *it)) else { continue };
            let message = format!("Telemetry {} of this namespace {what}", other.metadata.name);
            problems.push(it.problem(code, Severity::Error, "spec.selector", message));
        }
    }
}
