//! Rules of an HTTP match, and rules and matches that can never be reached.

use std::collections::HashMap;

use super::check::{Check, is_header_name};
use super::virtual_service::gateway_name;
use crate::istio::route_match::HttpMatch;
use crate::istio::virtual_service::{HttpRoute, VirtualService};
use crate::problem::{Severity, code};
use crate::value::{Pattern, StringMatch, host};

/// Prefix of header names that stand for a claim of the request's token.
const CLAIMS: &str = "@request.auth.claims";

pub(super) fn check(check: &mut Check<'_, VirtualService>, at: &str, it: &HttpMatch) {
    if let Some(uri) = &it.uri
        // A path may have an empty prefix; everything begins with it.
        && uri.pattern() != Pattern::Prefix("")
    {
        check.string_match(format_args!("{at}.uri"), uri);
    }
    for (name, value) in [("scheme", &it.scheme), ("method", &it.method), ("authority", &it.authority)] {
        if let Some(value) = value {
            check.string_match(format_args!("{at}.{name}"), value);
        }
    }
    for (name, value) in &it.headers {
        let field = format!("{at}.headers[\"{name}\"]");
        header(check, &field, name);
        match value {
            Some(value) => check.string_match(&field, value),
            None => check.error(&field, format!("header match `{name}` cannot be null; write `{{}}` for presence")),
        }
    }
    for (name, value) in &it.without_headers {
        let field = format!("{at}.withoutHeaders[\"{name}\"]");
        header(check, &field, name);
        if let Some(value) = value {
            check.string_match(&field, value);
        }
    }
    for (name, value) in &it.query_params {
        check.string_match(format_args!("{at}.queryParams[\"{name}\"]"), value);
    }
    if it.port != 0 {
        check.port(format_args!("{at}.port"), it.port);
    }
    check.labels(&format_args!("{at}.sourceLabels"), &it.source_labels);
    for (index, gateway) in it.gateways.iter().enumerate() {
        check.expect(format_args!("{at}.gateways[{index}]"), gateway_name(gateway));
    }
    if !it.source_namespace.is_empty() && !host::is_lower_label(&it.source_namespace) {
        check.error(format_args!("{at}.sourceNamespace"), format!("`{}` is no namespace", it.source_namespace));
    }
}

fn header(check: &mut Check<'_, VirtualService>, field: &str, name: &str) {
    if name.to_ascii_lowercase().starts_with(CLAIMS) {
        let gateways = &check.spec().gateways;
        if gateways.is_empty() || gateways.iter().any(|it| it == "mesh") {
            check.error(
                field,
                "claims can be matched only at gateways, so the gateways must be named and not hold `mesh`",
            );
        }
        return;
    }
    if matches!(name, "uri" | "scheme" | "method" | "authority") {
        check.warn(field, format!("a header match on `{name}` is ignored; use the field of that name"));
    } else if !is_header_name(name.strip_prefix(':').unwrap_or(name)) {
        check.error(field, format!("`{name}` is no header name"));
    }
}

/// Reports rules behind a catch-all and matches that an earlier rule repeats.
pub(super) fn check_order(check: &mut Check<'_, VirtualService>, rules: &[HttpRoute]) {
    let mut catch_all = None;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("spec.http[{index}]");
        let name = if rule.name.is_empty() { format!("#{index}") } else { rule.name.clone() };
        if let Some(earlier) = catch_all {
            let message = format!("rule {name} is never reached: rule #{earlier} matches every request");
            check.report(code::UNREACHABLE_RULE, Severity::Warning, &at, message);
            continue;
        }
        let mut duplicates = 0;
        for (number, it) in rule.matches.iter().enumerate() {
            match seen.get(&key(it)) {
                Some(earlier) => {
                    duplicates += 1;
                    let message = format!("rule {name} match #{number} is not used: rule #{earlier} has the same");
                    check.report(
                        code::INEFFECTIVE_MATCH,
                        Severity::Info,
                        format_args!("{at}.match[{number}]"),
                        message,
                    );
                }
                None => {
                    seen.insert(key(it), index);
                }
            }
        }
        if duplicates > 0 && duplicates == rule.matches.len() {
            let message = format!("rule {name} is never reached: all its matches are used by earlier rules");
            check.report(code::UNREACHABLE_RULE, Severity::Warning, &at, message);
        }
        if rule.matches.is_empty() || rule.matches.iter().any(is_catch_all) {
            catch_all = Some(index);
        }
    }
}

/// What makes two matches the same.
fn key(it: &HttpMatch) -> String {
    let named = HttpMatch { name: String::new(), stat_prefix: String::new(), ..it.clone() };
    format!("{named:?}")
}

/// Whether a match holds for every request, as Istio recognises it.
pub(super) fn is_catch_all(it: &HttpMatch) -> bool {
    let HttpMatch {
        name: _,
        uri,
        scheme,
        method,
        authority,
        headers,
        port,
        source_labels,
        gateways,
        query_params,
        ignore_uri_case: _,
        without_headers,
        source_namespace,
        stat_prefix: _,
    } = it;
    let every_path = uri.as_ref().is_none_or(matches_every_path);
    let unbound = scheme.is_none() && method.is_none() && authority.is_none() && *port == 0;
    let anyone = source_labels.is_empty() && gateways.is_empty() && source_namespace.is_empty();
    every_path && unbound && anyone && headers.is_empty() && query_params.is_empty() && without_headers.is_empty()
}

fn matches_every_path(uri: &StringMatch) -> bool {
    matches!(uri.pattern(), Pattern::Prefix("/") | Pattern::Regex(".*" | "*"))
}
