//! Rules of an AuthorizationPolicy: rules that say something, and values that parse.

use std::fmt::Display;

use super::check::Check;
use crate::document::Resource;
use crate::istio::authorization_policy::{Action, AuthorizationPolicy, Condition, Operation, Rule, Source};
use crate::problem::{Problems, code};
use crate::value::Cidr;

/// Annotation that turns a policy into a rehearsal.
const DRY_RUN: &str = "istio.io/dry-run";

/// Most service accounts in one source.
const MAX_SERVICE_ACCOUNTS: usize = 16;

type Checked<'a, 'b> = &'a mut Check<'b, AuthorizationPolicy>;

pub(super) fn check(resource: &Resource<AuthorizationPolicy>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let AuthorizationPolicy { selector, target_ref, target_refs, rules, action, provider } = check.spec();
    let action = action.unwrap_or(Action::Allow);
    check.target(selector.as_ref(), target_ref.as_ref(), target_refs);
    match (action, provider) {
        (Action::Custom, None) => check.error("spec.provider", "CUSTOM needs a provider"),
        (Action::Custom, Some(it)) if it.name.is_empty() => {
            check.error("spec.provider.name", "CUSTOM needs a provider's name")
        }
        (Action::Custom, Some(_)) => {}
        (Action::Allow | Action::Deny | Action::Audit, Some(_)) => {
            check.error("spec.provider", "a provider is only for the action CUSTOM");
        }
        (Action::Allow | Action::Deny | Action::Audit, None) => {}
    }
    if rules.is_none() && matches!(action, Action::Deny | Action::Custom) {
        check.error(
            "spec.rules",
            "DENY and CUSTOM without rules would never match; write `rules: [{}]` for every request",
        );
    }
    dry_run(&mut check, action);
    for (index, rule) in rules.iter().flatten().enumerate() {
        self::rule(&mut check, &format!("spec.rules[{index}]"), rule, action);
    }
}

fn dry_run(check: Checked<'_, '_>, action: Action) {
    let Some(value) = check.resource.metadata.annotations.get(DRY_RUN) else { return };
    let field = format!("metadata.annotations[\"{DRY_RUN}\"]");
    if !["1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"].contains(&value.as_str()) {
        check.error(&field, format!("`{value}` is neither true nor false"));
    }
    if matches!(action, Action::Custom | Action::Audit) {
        check.error(&field, "dry-run is only for ALLOW and DENY");
    }
}

fn rule(check: Checked<'_, '_>, at: &str, rule: &Rule, action: Action) {
    let Rule { from, to, when } = rule;
    if from.as_ref().is_some_and(Vec::is_empty) {
        check.error(format_args!("{at}.from"), "`from` cannot be empty; leave it out for any source");
    }
    if to.as_ref().is_some_and(Vec::is_empty) {
        check.error(format_args!("{at}.to"), "`to` cannot be empty; leave it out for any operation");
    }
    for (index, it) in from.iter().flatten().enumerate() {
        let at = format!("{at}.from[{index}].source");
        match &it.source {
            None => check.error(&at, "a source cannot be empty"),
            Some(it) => source(check, &at, it, action),
        }
    }
    for (index, it) in to.iter().flatten().enumerate() {
        let at = format!("{at}.to[{index}].operation");
        match &it.operation {
            None => check.error(&at, "an operation cannot be empty"),
            Some(it) => operation(check, &at, it),
        }
    }
    for (index, it) in when.iter().flatten().enumerate() {
        condition(check, &format!("{at}.when[{index}]"), it, action);
    }
}

fn source(check: Checked<'_, '_>, at: &str, source: &Source, action: Action) {
    if *source == Source::default() {
        check.error(at, "a source cannot be empty");
    }
    let identities = [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
        ("trustDomains", &source.trust_domains),
        ("notTrustDomains", &source.not_trust_domains),
    ];
    for (name, values) in identities {
        not_empty(check, format_args!("{at}.{name}"), values);
        if action == Action::Custom && !values.is_empty() && !name.ends_with("rustDomains") {
            check.error(
                format_args!("{at}.{name}"),
                format!("{name} cannot be used with CUSTOM, which runs before authentication"),
            );
        }
    }
    for (name, values) in [
        ("ipBlocks", &source.ip_blocks),
        ("notIpBlocks", &source.not_ip_blocks),
        ("remoteIpBlocks", &source.remote_ip_blocks),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks),
    ] {
        for (index, it) in values.iter().enumerate() {
            check.expect(format_args!("{at}.{name}[{index}]"), it.parse::<Cidr>().map(|_| ()));
        }
    }
    accounts(check, at, source);
}

fn accounts(check: Checked<'_, '_>, at: &str, source: &Source) {
    for (name, accounts) in
        [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)]
    {
        if accounts.len() > MAX_SERVICE_ACCOUNTS {
            check.error(format_args!("{at}.{name}"), format!("at most {MAX_SERVICE_ACCOUNTS} service accounts"));
        }
        if accounts.iter().any(|it| it.contains('*') || it.split('/').count() > 2) {
            check.error(
                format_args!("{at}.{name}"),
                "a service account is `name` or `namespace/name`, without wildcards",
            );
        }
    }
    let by_account = !source.service_accounts.is_empty() || !source.not_service_accounts.is_empty();
    let by_other = [&source.principals, &source.not_principals, &source.namespaces, &source.not_namespaces];
    if by_account && by_other.iter().any(|it| !it.is_empty()) {
        check.error(at, "Cannot set serviceAccounts with namespaces or principals");
    }
}

fn operation(check: Checked<'_, '_>, at: &str, operation: &Operation) {
    if *operation == Operation::default() {
        check.error(at, "an operation cannot be empty");
    }
    let Operation { hosts, not_hosts, ports, not_ports, methods, not_methods, paths, not_paths } = operation;
    for (name, values) in [
        ("hosts", hosts),
        ("notHosts", not_hosts),
        ("ports", ports),
        ("notPorts", not_ports),
        ("methods", methods),
        ("notMethods", not_methods),
        ("paths", paths),
        ("notPaths", not_paths),
    ] {
        not_empty(check, format_args!("{at}.{name}"), values);
    }
    for (name, values) in [("ports", ports), ("notPorts", not_ports)] {
        for (index, it) in values.iter().enumerate() {
            check.expect(format_args!("{at}.{name}[{index}]"), port(it));
        }
    }
    for (name, values) in [("paths", paths), ("notPaths", not_paths)] {
        for (index, it) in values.iter().enumerate() {
            check.expect(format_args!("{at}.{name}[{index}]"), path_template(it));
        }
    }
    let without_port = hosts.iter().chain(not_hosts).find(|it| !it.contains([':', '*']) && !it.is_empty());
    let listed = |it: &String| hosts.iter().chain(not_hosts).any(|other| *other == format!("{it}:*"));
    if let Some(host) = without_port.filter(|it| !listed(it)) {
        let message = format!("`{host}` does not match a Host header with a port; list `{host}:*` too");
        check.report(code::SCHEMA_WARNING, crate::Severity::Info, format_args!("{at}.hosts"), message);
    }
}

fn port(text: &str) -> Result<(), String> {
    match text.parse::<u16>() {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) if text == "*" => Ok(()),
        Ok(0) | Err(_) => Err(format!("`{text}` is no port")),
    }
}

/// `{*}` stands for one segment, `{**}` for the rest; neither goes with other wildcards.
fn path_template(path: &str) -> Result<(), String> {
    if !path.contains('{') && !path.contains('}') {
        return Ok(());
    }
    let operators = path.split('/').filter(|it| matches!(*it, "{*}" | "{**}")).count();
    let braces = path.matches(['{', '}']).count();
    if operators == 0 || braces != operators * 2 {
        return Err(format!("`{path}`: braces stand only in the segments {{*}} and {{**}}"));
    }
    if !path.starts_with('/') {
        return Err(format!("the path template `{path}` must begin with a slash"));
    }
    let rest_inside = path.split('/').rev().skip(1).any(|it| it == "{**}");
    if rest_inside {
        let mut after = path.split('/').skip_while(|it| *it != "{**}").skip(1);
        if after.any(|it| matches!(it, "{*}" | "{**}")) {
            return Err(format!("`{path}`: {{**}} must be the last operator"));
        }
    }
    let plain: String = path.split('/').filter(|it| !matches!(*it, "{*}" | "{**}")).collect();
    if plain.contains('*') {
        return Err(format!("`{path}`: a template cannot hold other wildcards"));
    }
    Ok(())
}

fn condition(check: Checked<'_, '_>, at: &str, condition: &Condition, action: Action) {
    let Condition { key, values, not_values } = condition;
    if key.is_empty() {
        check.error(format_args!("{at}.key"), "a condition needs a key");
        return;
    }
    if values.is_empty() && not_values.is_empty() {
        check.error(at, "a condition needs values or notValues");
    }
    if !is_attribute(key) {
        check.error(format_args!("{at}.key"), format!("unknown attribute `{key}`"));
        return;
    }
    let identity = key.starts_with("request.auth.")
        || matches!(key.as_str(), "source.principal" | "source.namespace" | "source.serviceAccount");
    if action == Action::Custom && identity {
        check.error(
            format_args!("{at}.key"),
            format!("`{key}` cannot be used with CUSTOM, which runs before authentication"),
        );
    }
    for (list, values) in [("values", values), ("notValues", not_values)] {
        not_empty(check, format_args!("{at}.{list}"), values);
        for (index, it) in values.iter().enumerate() {
            let result = match key.as_str() {
                "source.ip" | "remote.ip" | "destination.ip" => it.parse::<Cidr>().map(|_| ()),
                "destination.port" => port(it),
                _ => Ok(()),
            };
            check.expect(format_args!("{at}.{list}[{index}]"), result);
        }
    }
}

fn is_attribute(key: &str) -> bool {
    const PLAIN: [&str; 12] = [
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "destination.ip",
        "destination.port",
        "connection.sni",
    ];
    let bracketed = |prefix: &str| {
        key.strip_prefix(prefix).is_some_and(|it| it.starts_with('[') && it.ends_with(']') && it.len() > 2)
    };
    PLAIN.contains(&key)
        || bracketed("request.headers")
        || bracketed("request.auth.claims")
        || key.starts_with("experimental.envoy.filters.")
}

fn not_empty(check: Checked<'_, '_>, field: impl Display, values: &[String]) {
    if values.iter().any(String::is_empty) {
        check.error(field, "a value must not be empty");
    }
}
