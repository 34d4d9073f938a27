//! Lowers the match of a rule: its path, its conditions, and whether it is for this listener at all.

use config_schema::Problem;
use config_schema::istio::route_match::HttpMatch;
use config_schema::istio::shared::selects;
use config_schema::native::settings::Node;
use config_schema::problem::{Severity, code};
use config_schema::value::{Pattern, StringMatch, host};
use http::StatusCode;
use regex::Regex;

use super::headers;
use crate::filter::authentication::claims::ClaimPath;
use crate::routing::matcher::{Condition, HeaderSource};
use crate::routing::route::PathPattern;
use crate::text::{TextPattern, whole};

/// Prefix of header names that stand for a claim of a token.
const CLAIMS: &str = "@request.auth.claims";

/// The listener that routes are compiled for.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Namespace and name of the Gateway.
    pub(super) gateway: (&'a str, &'a str),
    /// Declared port.
    pub(super) port: u16,
    /// This gateway.
    pub(super) node: &'a Node,
}

/// Whether a match can hold on this listener; what depends on the listener alone is decided here.
pub(super) fn is_for(it: &HttpMatch, place: Place<'_>, namespace: &str) -> bool {
    let port = it.port == 0 || it.port == u32::from(place.port);
    if !it.gateways.is_empty() {
        return port && it.gateways.iter().any(|name| host::split_namespace(name, namespace) == place.gateway);
    }
    // Compared with the gateway's own labels, as Istio does.
    let labels = selects(&it.source_labels, &place.node.labels);
    let own_namespace = it.source_namespace.is_empty() || it.source_namespace == place.node.namespace;
    port && labels && own_namespace
}

/// Whether a match holds for every request on its listener, so that no later rule is reached.
pub(super) fn is_catch_all(path: &PathPattern, conditions: &[Condition]) -> bool {
    let every = match path {
        PathPattern::Any => true,
        PathPattern::Prefix(it) => it.as_ref() == "/",
        PathPattern::Regex(it) => matches!(it.as_ref(), ".*"),
        PathPattern::Exact(_) | PathPattern::ExactFolded(_) | PathPattern::PrefixFolded(_) | PathPattern::Within(_) => {
            false
        }
    };
    every && conditions.is_empty()
}

/// What the path must be.
pub(super) fn path(it: &HttpMatch) -> PathPattern {
    let Some(uri) = &it.uri else { return PathPattern::Any };
    match (uri.pattern(), it.ignore_uri_case) {
        (Pattern::Present, _) => PathPattern::Any,
        (Pattern::Exact(text), false) => PathPattern::Exact(text.into()),
        (Pattern::Prefix(text), false) => PathPattern::Prefix(text.into()),
        (Pattern::Exact(text), true) => PathPattern::ExactFolded(text.to_ascii_lowercase().into()),
        (Pattern::Prefix(text), true) => PathPattern::PrefixFolded(text.to_ascii_lowercase().into()),
        (Pattern::Regex("*"), _) => PathPattern::Regex(".*".into()),
        (Pattern::Regex(text), _) => PathPattern::Regex(text.into()),
    }
}

/// What else must hold.
pub(super) fn conditions(it: &HttpMatch) -> Result<Vec<Condition>, Box<Problem>> {
    let HttpMatch {
        name: _,
        uri: _,
        scheme,
        method,
        authority,
        headers,
        port: _,
        source_labels: _,
        gateways: _,
        query_params,
        ignore_uri_case: _,
        without_headers,
        source_namespace: _,
        stat_prefix: _,
    } = it;
    let mut out = Vec::new();
    if let Some(it) = scheme {
        out.push(Condition::Scheme(text(it)?));
    }
    if let Some(it) = method {
        out.push(Condition::Method(text(it)?));
    }
    if let Some(it) = authority {
        out.push(Condition::Authority(text(it)?));
    }
    let present = StringMatch::default();
    for (name, value) in headers {
        let value = value.as_ref().unwrap_or(&present);
        match source(name)? {
            Source::Header(source) => out.push(Condition::Header(source, text(value)?)),
            Source::Claim(path) => out.push(Condition::Claim(path, text(value)?)),
            Source::Ignored => {}
        }
    }
    for (name, value) in without_headers {
        let value = value.as_ref().unwrap_or(&present);
        match source(name)? {
            Source::Header(source) => out.push(Condition::WithoutHeader(source, text(value)?)),
            Source::Claim(path) => out.push(Condition::WithoutClaim(path, text(value)?)),
            Source::Ignored => {}
        }
    }
    for (name, value) in query_params {
        out.push(Condition::Query(name.as_str().into(), text(value)?));
    }
    Ok(out)
}

enum Source {
    Header(HeaderSource),
    Claim(ClaimPath),
    Ignored,
}

fn source(name: &str) -> Result<Source, Box<Problem>> {
    let lower = name.to_ascii_lowercase();
    if let Some(path) = name.get(CLAIMS.len()..).filter(|_| lower.starts_with(CLAIMS)) {
        return claim(path).map(Source::Claim).ok_or_else(|| broken(format!("`{name}` names no claim")));
    }
    Ok(Source::Header(match lower.as_str() {
        "uri" | "scheme" | "method" | "authority" => return Ok(Source::Ignored),
        ":authority" | "host" => HeaderSource::Authority,
        ":method" => HeaderSource::Method,
        ":path" => HeaderSource::Target,
        ":scheme" => HeaderSource::Scheme,
        lower => HeaderSource::Field(headers::header_name(lower).map_err(broken)?),
    }))
}

/// The names that lead to a claim: `.a.b`, or `[a][b]` for names with dots.
fn claim(text: &str) -> Option<ClaimPath> {
    let names: Vec<&str> = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.split("][").collect(),
        None => text.strip_prefix('.')?.split('.').collect(),
    };
    names.iter().all(|it| !it.is_empty()).then(|| names.into_iter().map(Box::from).collect())
}

/// What a text must be.
pub(super) fn text(it: &StringMatch) -> Result<TextPattern, Box<Problem>> {
    Ok(match it.pattern() {
        Pattern::Present | Pattern::Regex("*") => TextPattern::Present,
        Pattern::Exact(text) => TextPattern::Exact(text.into()),
        Pattern::Prefix(text) => TextPattern::Prefix(text.into()),
        Pattern::Regex(text) => expression(text)?,
    })
}

/// A text that an expression matches as a whole.
pub(super) fn expression(written: &str) -> Result<TextPattern, Box<Problem>> {
    Regex::new(&whole(written)).map(TextPattern::Regex).map_err(|error| broken(error.to_string()))
}

/// The status of a number.
pub(super) fn status(number: impl TryInto<u16>) -> Option<StatusCode> {
    StatusCode::from_u16(number.try_into().ok()?).ok()
}

/// Something that validation should have found.
pub(super) fn broken(message: String) -> Box<Problem> {
    Box::new(Problem::new(code::SCHEMA, Severity::Error, message))
}
