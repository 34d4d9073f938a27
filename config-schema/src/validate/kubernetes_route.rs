//! Rules of an HTTPRoute: its hosts, matches, backends and times.

use std::collections::HashSet;

use super::check::{Check, METHODS, is_header_name};
use super::kubernetes_gateway::hostname_of;
use super::route_filter;
use crate::document::Resource;
use crate::gateway_api::http_route::{
    BackendRef, HttpRoute, HttpRouteMatch, HttpRouteRule, NamedMatch, NamedMatchKind, PathMatch, PathMatchKind,
    RouteRetry, Timeouts,
};
use crate::problem::{Problems, Severity, code};

/// Most backends of a rule.
const MAX_BACKENDS: usize = 16;
/// Most weight of a backend.
const MAX_WEIGHT: u32 = 1_000_000;

pub(super) fn check(resource: &Resource<HttpRoute>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let HttpRoute { parent_refs, hostnames, rules } = check.spec();
    if parent_refs.is_empty() {
        let message = "no parentRefs: the route attaches to no Gateway";
        check.report(code::SCHEMA_WARNING, Severity::Warning, "spec.parentRefs", message);
    }
    for (index, it) in parent_refs.iter().enumerate() {
        let at = format!("spec.parentRefs[{index}]");
        if it.name.is_empty() {
            check.error(format_args!("{at}.name"), "a parent has a name");
        }
        if let Some(port) = it.port {
            check.port(format_args!("{at}.port"), port);
        }
    }
    for (index, name) in hostnames.iter().enumerate() {
        hostname_of(&mut check, format_args!("spec.hostnames[{index}]"), name);
    }
    let mut names = HashSet::new();
    for (index, it) in rules.iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        if !it.name.is_empty() && !names.insert(&it.name) {
            check.error(format_args!("{at}.name"), format!("two rules are called `{}`", it.name));
        }
        rule(&mut check, &at, it);
    }
}

fn rule(check: &mut Check<'_, HttpRoute>, at: &str, rule: &HttpRouteRule) {
    let HttpRouteRule { name: _, matches, filters, backend_refs, timeouts, retry, session_persistence: _ } = rule;
    for (index, it) in matches.iter().enumerate() {
        one_match(check, &format!("{at}.matches[{index}]"), it);
    }
    route_filter::of_rule(check, &format!("{at}.filters"), filters, matches);
    for (index, it) in backend_refs.iter().enumerate() {
        let at = format!("{at}.backendRefs[{index}]");
        backend(check, &at, it);
        route_filter::of_backend(check, &format!("{at}.filters"), &it.filters);
    }
    if backend_refs.len() > MAX_BACKENDS {
        check.error(format_args!("{at}.backendRefs"), format!("a rule has at most {MAX_BACKENDS} backends"));
    }
    let redirects = filters.iter().any(|it| it.request_redirect.is_some());
    if redirects && !backend_refs.is_empty() {
        check.error(format_args!("{at}.backendRefs"), "a rule that redirects has no backends");
    }
    if backend_refs.is_empty() && !redirects {
        let message = "a rule without backends answers 500";
        check.report(code::SCHEMA_WARNING, Severity::Warning, format_args!("{at}.backendRefs"), message);
    }
    if let Some(Timeouts { request: Some(whole), backend_request: Some(part) }) = timeouts
        && !whole.0.is_zero()
        && part > whole
    {
        check.error(format_args!("{at}.timeouts.backendRequest"), "one try may not take longer than the whole request");
    }
    if let Some(RouteRetry { codes, attempts: _, backoff: _ }) = retry {
        for (index, it) in codes.iter().enumerate().filter(|(_, it)| !(400..=599).contains(*it)) {
            check.error(format_args!("{at}.retry.codes[{index}]"), format!("{it} is not between 400 and 599"));
        }
    }
}

fn one_match(check: &mut Check<'_, HttpRoute>, at: &str, it: &HttpRouteMatch) {
    let HttpRouteMatch { path, headers, query_params, method } = it;
    if let Some(path) = path {
        self::path(check, &format!("{at}.path"), path);
    }
    if !method.is_empty() && !METHODS.contains(&method.as_str()) {
        check.error(format_args!("{at}.method"), format!("`{method}` is none of {}", METHODS.join(", ")));
    }
    for (list, entries) in [("headers", headers), ("queryParams", query_params)] {
        for (index, NamedMatch { kind, name, value }) in entries.iter().enumerate() {
            let at = format!("{at}.{list}[{index}]");
            if name.is_empty() || (list == "headers" && !is_header_name(name)) {
                check.error(format_args!("{at}.name"), format!("`{name}` is no name"));
            }
            match kind {
                NamedMatchKind::Exact if value.is_empty() => {
                    check.error(format_args!("{at}.value"), "the value is missing")
                }
                NamedMatchKind::Exact => {}
                NamedMatchKind::RegularExpression => check.regex(format_args!("{at}.value"), value),
            }
        }
    }
}

fn path(check: &mut Check<'_, HttpRoute>, at: &str, path: &PathMatch) {
    let PathMatch { kind, value } = path;
    let field = format!("{at}.value");
    match kind {
        PathMatchKind::RegularExpression => check.regex(field, value),
        PathMatchKind::Exact | PathMatchKind::PathPrefix => {
            const NEVER: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
            if !value.starts_with('/') {
                check.error(field, format!("`{value}` must begin with a slash"));
            } else if let Some(part) = NEVER.iter().find(|it| value.contains(*it)) {
                check.error(field, format!("`{value}` must not contain `{part}`"));
            } else if value.contains(['#', '?']) || value.ends_with("/..") || value.ends_with("/.") {
                check.error(field, format!("`{value}` is no normalised path"));
            }
        }
    }
}

/// What a backend says of itself; whether it is there is asked between documents.
fn backend(check: &mut Check<'_, HttpRoute>, at: &str, backend: &BackendRef) {
    let BackendRef { group: _, kind, name, namespace: _, port, weight, filters: _ } = backend;
    if name.is_empty() {
        check.error(format_args!("{at}.name"), "a backend has a name");
    }
    if *weight > MAX_WEIGHT {
        check.error(format_args!("{at}.weight"), format!("{weight} is more than {MAX_WEIGHT}"));
    }
    let is_known = backend.known_kind().is_some();
    match port {
        Some(port) => check.port(format_args!("{at}.port"), *port),
        None if is_known => check.error(format_args!("{at}.port"), "a Service is reached by a port; name it"),
        None => {}
    }
    if !is_known {
        let message = format!("backends of kind {kind} are not known; its share of the requests is answered with 500");
        check.report(code::REFERENCE_NOT_FOUND, Severity::Warning, at, message);
    }
}
