//! Rules of an HTTP match, and rules and matches that can never be reached.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

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

/// Reports rules behind a catch-all and matches that an earlier rule repeats, or has with a shorter prefix.
pub(super) fn check_order(check: &mut Check<'_, VirtualService>, rules: &[HttpRoute]) {
    let mut catch_all = None;
    let mut seen = Seen::default();
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
            let because = match seen.add(it, index) {
                None => continue,
                Some(Before::Same(earlier)) => {
                    duplicates += 1;
                    format!("rule #{earlier} has the same")
                }
                Some(Before::Shorter(earlier)) => format!("rule #{earlier} has a shorter prefix of it"),
            };
            let message = format!("rule {name} match #{number} is not used: {because}");
            check.report(code::INEFFECTIVE_MATCH, Severity::Info, format_args!("{at}.match[{number}]"), message);
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

/// The matches so far, with the rules that have them.
#[derive(Default)]
struct Seen<'a> {
    all: HashMap<String, usize>,
    /// Prefixes, by everything else that their matches ask for.
    prefixes: HashMap<String, BTreeMap<&'a str, usize>>,
}

/// An earlier match that takes every request of a later one.
enum Before {
    Same(usize),
    Shorter(usize),
}

impl<'a> Seen<'a> {
    /// Adds a match of a rule, and says which one takes its requests already.
    fn add(&mut self, it: &'a HttpMatch, rule: usize) -> Option<Before> {
        let rest = HttpMatch { name: String::new(), stat_prefix: String::new(), uri: None, ..it.clone() };
        let rest = format!("{rest:?}");
        match self.all.entry(format!("{:?} {rest}", it.uri)) {
            Entry::Occupied(earlier) => return Some(Before::Same(*earlier.get())),
            Entry::Vacant(place) => place.insert(rule),
        };
        let Pattern::Prefix(prefix) = it.uri.as_ref()?.pattern() else { return None };
        let known = self.prefixes.entry(rest).or_default();
        let shorter = longest_prefix(known, prefix);
        known.insert(prefix, rule);
        shorter.map(Before::Shorter)
    }
}

/// The rule of a known prefix of a text.
fn longest_prefix(known: &BTreeMap<&str, usize>, text: &str) -> Option<usize> {
    let mut bound = text;
    loop {
        // Whatever is a prefix of the text stands before it, and before what it shares with its neighbour.
        let (neighbour, rule) = known.range::<&str, _>(..=bound).next_back()?;
        if bound.starts_with(neighbour) {
            return Some(*rule);
        }
        let shared = bound.char_indices().zip(neighbour.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
        bound = bound.get(..shared?)?;
    }
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
    let every_path = uri.as_deref().is_none_or(matches_every_path);
    let unbound = scheme.is_none() && method.is_none() && authority.is_none() && *port == 0;
    let anyone = source_labels.is_empty() && gateways.is_empty() && source_namespace.is_empty();
    every_path && unbound && anyone && headers.is_empty() && query_params.is_empty() && without_headers.is_empty()
}

fn matches_every_path(uri: &StringMatch) -> bool {
    matches!(uri.pattern(), Pattern::Prefix("/") | Pattern::Regex(".*" | "*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_prefix_is_found_behind_its_neighbours() {
        let known: BTreeMap<&str, usize> = [("/a", 1), ("/ab1", 2), ("/abc/d", 3), ("/x/", 4)].into_iter().collect();
        for (text, expected) in [
            ("/a", Some(1)),
            ("/ac", Some(1)),
            ("/ab1/x", Some(2)),
            ("/abc/c", Some(1)),
            ("/abc/d/e", Some(3)),
            ("/x", None),
            ("/", None),
            ("/y", None),
            ("/aé", Some(1)),
        ] {
            assert_eq!(longest_prefix(&known, text), expected, "{text}");
        }
    }
}
