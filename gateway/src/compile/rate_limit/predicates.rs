//! Lowers the conditions of a rate limit's rule.

use std::sync::Arc;

use config_schema::Problem;
use config_schema::istio::route_match::HttpMatch;
use config_schema::native::rate_limit_policy::RequestMatch;
use config_schema::value::{Pattern, StringMatch};

use crate::compile::authorization::networks;
use crate::compile::matches;
use crate::filter::authorization::values::{Principals, Texts};
use crate::filter::authorization::{Attribute, Test};
use crate::routing::limits::Predicate;
use crate::text::{TextPattern, whole};

pub(super) fn predicates(written: &[RequestMatch]) -> Result<Arc<[Predicate]>, Box<Problem>> {
    written.iter().map(predicate).collect()
}

fn predicate(written: &RequestMatch) -> Result<Predicate, Box<Problem>> {
    let RequestMatch {
        uri,
        scheme,
        method,
        authority,
        headers,
        without_headers,
        query_params,
        ignore_uri_case,
        port,
        principals,
        request_principals,
        client_addresses,
    } = written;
    let path = uri.as_ref().map(|it| path(it, *ignore_uri_case)).transpose()?;
    let same = HttpMatch {
        scheme: scheme.clone(),
        method: method.clone(),
        authority: authority.clone(),
        headers: headers.clone(),
        without_headers: without_headers.clone(),
        query_params: query_params.clone(),
        ..HttpMatch::default()
    };
    let test = |attribute: Attribute| Test { attribute, negated: false };
    let mut tests = Vec::new();
    if !principals.is_empty() {
        tests.push(test(Attribute::Principal(Texts::new(principals.iter().map(String::as_str)))));
    }
    if !request_principals.is_empty() {
        let principals = Principals::new(request_principals.iter().map(String::as_str));
        tests.push(test(Attribute::RequestPrincipal(principals)));
    }
    if !client_addresses.is_empty() {
        tests.push(test(Attribute::Client(networks(client_addresses))));
    }
    Ok(Predicate {
        path,
        port: u16::try_from(*port).ok().filter(|it| *it != 0),
        conditions: matches::conditions(&same)?.into(),
        tests: tests.into(),
    })
}

/// What the path must be.
fn path(uri: &StringMatch, ignores_case: bool) -> Result<TextPattern, Box<Problem>> {
    match (uri.pattern(), ignores_case) {
        (Pattern::Exact(it), true) => folded(&regex::escape(it)),
        (Pattern::Prefix(it), true) => folded(&format!("{}.*", regex::escape(it))),
        (Pattern::Exact(_) | Pattern::Prefix(_) | Pattern::Present | Pattern::Regex(_), _) => matches::text(uri),
    }
}

/// A pattern without case.
fn folded(expression: &str) -> Result<TextPattern, Box<Problem>> {
    let expression = regex::Regex::new(&whole(&format!("(?is:{expression})")));
    expression.map(TextPattern::Regex).map_err(|error| matches::broken(error.to_string()))
}
