//! Lowers the rules of a VirtualService to routes, one for each of their matches.

use std::sync::Arc;

use bytes::Bytes;
use config_schema::Problem;
use config_schema::istio::http_action::{
    CorsPolicy, DerivePort, DirectResponse, HttpBody, Redirect as WrittenRedirect, RegexRewrite, Rewrite,
    UnmatchedPreflights,
};
use config_schema::istio::route_match::HttpMatch;
use config_schema::value::StringMatch;
use http::HeaderValue;
use regex::Regex;

use super::base64::decode;
use super::clusters::Clusters;
use super::delegates::Placed;
use super::forwarding;
use super::headers;
use super::matches::{self, Place, broken};
use crate::filter::cors::Cors;
use crate::origin::DocumentOrigin;
use crate::routing::limits::Staged;
use crate::routing::redirect::{Redirect, RedirectPath, RedirectPort};
use crate::routing::request::Scheme;
use crate::routing::rewrite::{self, PathRewrite};
use crate::routing::route::{self, Action, Destination, Forward, PathPattern, Route, RouteKind, RouteOrigin};

/// What a route takes from where its rule stands.
pub(super) struct Surroundings {
    /// The document.
    pub(super) origin: Arc<DocumentOrigin>,
    /// Rate limits.
    pub(super) limits: Option<Arc<Staged>>,
}

/// The routes of a VirtualService on one listener.
pub(super) struct Lowered {
    pub(super) routes: Vec<Arc<Route>>,
    /// The one that takes everything, if the rules end with one.
    pub(super) last: Option<Arc<Route>>,
}

/// The routes of rules on one listener.
pub(super) fn lower<'a>(
    rules: &[Placed<'a>],
    surroundings: &dyn Fn(&Placed<'a>) -> Surroundings,
    place: Place<'_>,
    clusters: &mut Clusters<'_>,
) -> Result<Lowered, Box<Problem>> {
    let everything = [HttpMatch::default()];
    let mut routes = Vec::new();
    for placed in rules {
        let namespace = &placed.document.metadata.namespace;
        let has_matches = !placed.rule.matches.is_empty();
        let entries = if has_matches { placed.rule.matches.as_slice() } else { &everything };
        for (index, entry) in entries.iter().enumerate().filter(|(_, it)| matches::is_for(it, place, namespace)) {
            let condition = has_matches.then(|| u32::try_from(index).unwrap_or(u32::MAX));
            let Surroundings { origin, limits } = surroundings(placed);
            let origin = RouteOrigin {
                kind: RouteKind::VirtualService,
                service: origin,
                rule: u32::try_from(placed.index).unwrap_or(u32::MAX),
                condition,
            };
            let route = Arc::new(Route { limits, ..route(placed, entry, origin, place, clusters)? });
            if matches::is_catch_all(&route.path, &route.conditions) {
                // Rules behind it cannot be reached.
                return Ok(Lowered { routes, last: Some(route) });
            }
            routes.push(route);
        }
    }
    Ok(Lowered { routes, last: None })
}

fn route(
    placed: &Placed<'_>,
    entry: &HttpMatch,
    origin: RouteOrigin,
    place: Place<'_>,
    clusters: &mut Clusters<'_>,
) -> Result<Route, Box<Problem>> {
    let rule = &placed.rule;
    let path = matches::path(entry);
    let action = action(placed, &path, place, clusters)?;
    let own = rule.headers.as_ref().map(|it| &it.response);
    Ok(Route {
        name: name(&rule.name, &entry.name).into(),
        stat_prefix: (!entry.stat_prefix.is_empty()).then(|| entry.stat_prefix.as_str().into()),
        origin,
        conditions: matches::conditions(entry)?.into(),
        action,
        response_edits: headers::combine(own, None, true).map_err(broken)?,
        fault: rule.fault.as_deref().map(forwarding::fault).transpose()?,
        limits: None,
        cors: rule.cors_policy.as_deref().map(cors).transpose()?.map(Arc::new),
        path,
    })
}

fn name(rule: &str, entry: &str) -> String {
    if rule.is_empty() || entry.is_empty() { rule.to_owned() } else { format!("{rule}.{entry}") }
}

fn action(
    placed: &Placed<'_>,
    path: &PathPattern,
    place: Place<'_>,
    clusters: &mut Clusters<'_>,
) -> Result<Action, Box<Problem>> {
    let rule = &placed.rule;
    if let Some(it) = &rule.redirect {
        return Ok(Action::Redirect(Box::new(redirect(it, path)?)));
    }
    if let Some(DirectResponse { status, body }) = rule.direct_response.as_deref() {
        let status = matches::status(*status);
        let status = status.ok_or_else(|| broken("a direct response needs a status".to_owned()))?;
        return Ok(Action::Respond(status, body.as_ref().map(bytes_of).transpose()?.unwrap_or_default()));
    }
    let destinations = destinations(placed, place, clusters)?;
    let total_weight = route::total(destinations.iter().map(|it| it.weight)).max(1);
    let rewrite = rule.rewrite.as_deref().map_or(Ok(PathRewrite::Keep), |it| path_rewrite(it, path))?;
    let timeout = rule.timeout.map(|it| it.0).filter(|it| !it.is_zero());
    let retry = clusters.retries(rule.retries.as_deref());
    let mirrors = forwarding::mirrors(rule, &placed.document.metadata.namespace, place.port, clusters)?;
    let destinations = destinations.into();
    Ok(Action::Forward(Box::new(Forward { destinations, total_weight, rewrite, timeout, retry, mirrors })))
}

fn destinations(
    placed: &Placed<'_>,
    place: Place<'_>,
    clusters: &mut Clusters<'_>,
) -> Result<Vec<Destination>, Box<Problem>> {
    let rule = &placed.rule;
    let is_only = rule.route.len() == 1;
    let rewritten = rule.rewrite.as_ref().map(|it| it.authority.as_str()).filter(|it| !it.is_empty());
    let mut out = Vec::new();
    for it in &rule.route {
        let weight = if is_only { 1 } else { u32::try_from(it.weight).unwrap_or_default() };
        let Some(destination) = it.destination.as_ref().filter(|_| weight > 0) else { continue };
        let own = it.headers.as_deref();
        let authority =
            rewritten.or_else(|| headers::authority(rule.headers.as_deref())).or_else(|| headers::authority(own));
        let edits =
            |pick: fn(&config_schema::istio::shared::Headers) -> &config_schema::istio::shared::HeaderOperations| {
                headers::combine(rule.headers.as_deref().map(pick), own.map(pick), is_only).map_err(broken)
            };
        out.push(Destination {
            weight,
            target: clusters.target(destination, &placed.document.metadata.namespace, place.port)?,
            authority: authority.map(Into::into),
            request_edits: edits(|it| &it.request)?,
            response_edits: edits(|it| &it.response)?,
        });
    }
    Ok(out)
}

fn path_rewrite(rewrite: &Rewrite, path: &PathPattern) -> Result<PathRewrite, Box<Problem>> {
    let Rewrite { uri, authority: _, uri_regex_rewrite } = rewrite;
    if let Some(RegexRewrite { pattern, rewrite }) = uri_regex_rewrite {
        let expression = Regex::new(pattern).map_err(|error| broken(error.to_string()))?;
        return Ok(PathRewrite::Regex(expression, rewrite::replacement(rewrite).into()));
    }
    Ok(match (uri.as_str(), path.matched_prefix()) {
        ("", _) => PathRewrite::Keep,
        (uri, Some(length)) => PathRewrite::Prefix(length, uri.into()),
        (uri, None) => PathRewrite::Whole(uri.into()),
    })
}

fn redirect(redirect: &WrittenRedirect, path: &PathPattern) -> Result<Redirect, Box<Problem>> {
    let WrittenRedirect { uri, prefix_rewrite, authority, port, derive_port, scheme, redirect_code } = redirect;
    let code = if *redirect_code == 0 { 301 } else { *redirect_code };
    let status = matches::status(code);
    let port = match (port, derive_port) {
        (Some(port), _) => RedirectPort::Fixed(u16::try_from(*port).unwrap_or_default()),
        (None, Some(DerivePort::FromProtocolDefault)) => RedirectPort::ProtocolDefault,
        (None, Some(DerivePort::FromRequestPort)) => RedirectPort::Listener,
        (None, None) => RedirectPort::Keep,
    };
    let matched = path.matched_prefix().unwrap_or_default();
    Ok(Redirect {
        status: status.ok_or_else(|| broken(format!("{code} is no status")))?,
        scheme: Scheme::named(scheme),
        host: (!authority.is_empty()).then(|| authority.as_str().into()),
        port,
        path: match (uri.as_str(), prefix_rewrite.as_str()) {
            ("", "") => RedirectPath::Keep,
            ("", prefix) => RedirectPath::ReplacePrefix(matched, prefix.into()),
            (uri, _) => RedirectPath::Replace(uri.into()),
        },
    })
}

fn bytes_of(body: &HttpBody) -> Result<Bytes, Box<Problem>> {
    let HttpBody { string, bytes } = body;
    match (string, bytes) {
        (Some(text), _) => Ok(Bytes::from(text.clone())),
        (None, Some(coded)) => decode(coded).map(Bytes::from).ok_or_else(|| broken("not base64".to_owned())),
        (None, None) => Ok(Bytes::new()),
    }
}

fn cors(policy: &CorsPolicy) -> Result<Cors, Box<Problem>> {
    let CorsPolicy {
        allow_origin,
        allow_origins,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        unmatched_preflights,
    } = policy;
    let old: Vec<StringMatch> = allow_origin.iter().map(StringMatch::exact).collect();
    let origins = if allow_origins.is_empty() { &old } else { allow_origins };
    let list = |values: &[String]| (!values.is_empty()).then(|| HeaderValue::from_str(&values.join(","))).transpose();
    let wrong = |error: http::header::InvalidHeaderValue| broken(error.to_string());
    Ok(Cors {
        origins: origins.iter().map(matches::text).collect::<Result<_, _>>()?,
        allow_methods: list(allow_methods).map_err(wrong)?,
        allow_headers: list(allow_headers).map_err(wrong)?,
        expose_headers: list(expose_headers).map_err(wrong)?,
        max_age: max_age.map(|it| HeaderValue::from(it.0.as_secs())),
        allow_credentials: *allow_credentials == Some(true),
        answers_unmatched: matches!(unmatched_preflights, Some(UnmatchedPreflights::Ignore)),
    })
}
