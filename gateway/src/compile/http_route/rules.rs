//! Lowers the rules of an HTTPRoute to routes, one for each of their matches.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config_schema::gateway_api::http_route::{
    BackendKind, BackendRef, HttpRoute, HttpRouteMatch, HttpRouteRule, NamedMatch, NamedMatchKind, PathMatch,
    PathMatchKind, RouteRetry, Timeouts,
};
use config_schema::gateway_api::reference_grant::is_granted;
use config_schema::istio::http_action::Retry;
use config_schema::istio::shared::{Destination as WrittenDestination, PortSelector};
use config_schema::{Problem, Resource};
use http::header::HOST;
use http::{HeaderName, StatusCode};

use super::filters::{self, Filters};
use super::{Order, Ordered, PathRank};
use crate::compile::clusters::Clusters;
use crate::compile::matches::{self, broken};
use crate::compile::rate_limit::Attached;
use crate::compile::site::Site;
use crate::compile::{headers, origins};
use crate::filter::header_edits::HeaderEdits;
use crate::routing::matcher::{Condition, HeaderSource};
use crate::routing::route::{self, Action, Destination, Forward, PathPattern, Route, RouteKind, RouteOrigin, Target};
use crate::text::TextPattern;
use crate::upstream::retry::Policy;

/// One rule, with what it needs from around it.
pub(super) struct Rule<'a> {
    pub(super) site: &'a Site<'a>,
    pub(super) document: &'a Resource<HttpRoute>,
    pub(super) written: &'a HttpRouteRule,
}

/// The routes of a document with their order.
pub(super) fn lower(
    document: &Resource<HttpRoute>,
    site: &Site<'_>,
    clusters: &mut Clusters<'_>,
) -> Result<Vec<Ordered>, Box<Problem>> {
    let everything = [HttpRouteMatch::default()];
    let nothing = [HttpRouteRule::default()];
    let rules = if document.spec.rules.is_empty() { nothing.as_slice() } else { &document.spec.rules };
    let service = origins::of(document, site.config);
    let mut out = Vec::new();
    for (index, written) in rules.iter().enumerate() {
        let rule = Rule { site, document, written };
        let has_matches = !written.matches.is_empty();
        let matches = if has_matches { written.matches.as_slice() } else { &everything };
        for (number, entry) in matches.iter().enumerate() {
            let origin = RouteOrigin {
                kind: RouteKind::HttpRoute,
                service: Arc::clone(&service),
                rule: u32::try_from(index).unwrap_or(u32::MAX),
                condition: has_matches.then(|| u32::try_from(number).unwrap_or(u32::MAX)),
            };
            let route = rule.route(entry, origin, clusters)?;
            out.push((order(document, entry, (index, number)), Arc::new(route)));
        }
    }
    Ok(out)
}

fn order(document: &Resource<HttpRoute>, entry: &HttpRouteMatch, place: (usize, usize)) -> Order {
    let HttpRouteMatch { path, headers, query_params, method } = entry;
    let path = path.as_ref().map_or(PathRank::Prefix(0), |it| match it.kind {
        PathMatchKind::Exact => PathRank::Exact,
        PathMatchKind::PathPrefix => PathRank::Prefix(it.prefix().map_or(0, str::len)),
        PathMatchKind::RegularExpression => PathRank::Expression,
    });
    let metadata = &document.metadata;
    Order {
        path: Reverse(path),
        has_method: Reverse(!method.is_empty()),
        headers: Reverse(headers.len()),
        query_params: Reverse(query_params.len()),
        age: (metadata.creation_timestamp.clone(), metadata.namespace.clone(), metadata.name.clone()),
        place,
    }
}

impl Rule<'_> {
    fn route(
        &self,
        entry: &HttpRouteMatch,
        origin: RouteOrigin,
        clusters: &mut Clusters<'_>,
    ) -> Result<Route, Box<Problem>> {
        let metadata = &self.document.metadata;
        let filters = filters::lower(self, entry.path.as_ref(), clusters)?;
        let name = if self.written.name.is_empty() {
            format!("{}.{}.{}", metadata.namespace, metadata.name, origin.rule)
        } else {
            self.written.name.clone()
        };
        let response_edits = levels(HeaderEdits::default(), filters.responses.as_ref());
        Ok(Route {
            name: name.into(),
            stat_prefix: None,
            origin,
            path: path(entry.path.as_ref()),
            conditions: conditions(entry)?.into(),
            action: self.action(filters, clusters)?,
            response_edits,
            fault: None,
            cors: None,
            limits: self.site.limits.of_route(&Attached {
                gateway: self.site.place().gateway,
                kind: RouteKind::HttpRoute,
                documents: &[(&metadata.namespace, &metadata.name)],
                name: &self.written.name,
            }),
        })
    }

    fn action(&self, filters: Filters, clusters: &mut Clusters<'_>) -> Result<Action, Box<Problem>> {
        if let Some(redirect) = filters.redirect {
            return Ok(Action::Redirect(Box::new(redirect)));
        }
        let mut destinations = Vec::new();
        for it in self.written.backend_refs.iter().filter(|it| it.weight > 0) {
            let (requests, responses) = filters::of_backend(&it.filters)?;
            destinations.push(Destination {
                weight: it.weight,
                target: self.target(it, clusters)?,
                authority: filters.authority.clone(),
                request_edits: levels(requests, filters.requests.as_ref()),
                response_edits: levels(responses, filters.responses.as_ref()),
            });
        }
        if destinations.is_empty() || filters.is_unknown {
            return Ok(Action::Respond(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()));
        }
        let (timeout, per_try) = self.times();
        Ok(Action::Forward(Box::new(Forward {
            total_weight: route::total(destinations.iter().map(|it| it.weight)).max(1),
            destinations: destinations.into(),
            rewrite: filters.rewrite,
            timeout,
            retry: self.retry(per_try, clusters),
            mirrors: filters.mirrors.into(),
        })))
    }

    /// Bounds on the exchange and on one try.
    fn times(&self) -> (Option<Duration>, Option<Duration>) {
        let Some(Timeouts { request, backend_request }) = &self.written.timeouts else { return (None, None) };
        let set = |it: &Option<config_schema::value::Duration>| it.map(|it| it.0).filter(|it| !it.is_zero());
        (set(request), set(backend_request))
    }

    fn retry(&self, per_try: Option<Duration>, clusters: &Clusters<'_>) -> Arc<Policy> {
        /// Tries after the first, when a route asks for retries and does not say how many (Istio's default).
        const ATTEMPTS: u32 = 2;
        let written = self.written.retry.as_ref().map(|RouteRetry { codes, attempts, backoff }| Retry {
            attempts: i32::try_from(attempts.unwrap_or(ATTEMPTS)).unwrap_or(i32::MAX),
            retry_on: codes.iter().fold("connect-failure,refused-stream".to_owned(), |on, it| format!("{on},{it}")),
            backoff: *backoff,
            ..Retry::default()
        });
        let policy = clusters.retries(written.as_ref());
        match per_try {
            None => policy,
            per_try => Arc::new(Policy { per_try, ..policy.as_ref().clone() }),
        }
    }

    /// Where requests for a backend go.
    pub(super) fn target(&self, backend: &BackendRef, clusters: &mut Clusters<'_>) -> Result<Target, Box<Problem>> {
        let reference = backend.reference(&self.document.metadata.namespace);
        let (owner, name) = reference.to;
        let may_be_used = match backend.known_kind() {
            Some(BackendKind::Service) => is_granted(reference, &self.site.config.documents.reference_grants),
            Some(BackendKind::Hostname) => true,
            None => false,
        };
        if !may_be_used {
            return Ok(Target::Refused(format!("{owner}/{name}").into()));
        }
        let port = backend.port.map(|number| PortSelector { number });
        let destination = WrittenDestination { host: name.to_owned(), subset: String::new(), port };
        clusters.target(&destination, owner, self.site.key.port)
    }
}

/// Changes of a backend and of its rule, in the order they take effect.
fn levels(own: HeaderEdits, all: Option<&HeaderEdits>) -> Arc<[HeaderEdits]> {
    [Some(own), all.cloned()].into_iter().flatten().filter(|it| !it.is_empty()).collect()
}

fn path(path: Option<&PathMatch>) -> PathPattern {
    let Some(path) = path else { return PathPattern::Any };
    match (path.kind, path.prefix().unwrap_or_default()) {
        (PathMatchKind::Exact, _) => PathPattern::Exact(path.value.as_str().into()),
        (PathMatchKind::RegularExpression, _) => PathPattern::Regex(path.value.as_str().into()),
        (PathMatchKind::PathPrefix, "") => PathPattern::Any,
        (PathMatchKind::PathPrefix, prefix) => PathPattern::Within(prefix.into()),
    }
}

fn conditions(entry: &HttpRouteMatch) -> Result<Vec<Condition>, Box<Problem>> {
    let HttpRouteMatch { path: _, headers, query_params, method } = entry;
    let mut out = Vec::new();
    if !method.is_empty() {
        out.push(Condition::Method(TextPattern::Exact(method.as_str().into())));
    }
    let mut seen: Vec<HeaderName> = Vec::new();
    for it in headers {
        let name = headers::header_name(&it.name).map_err(broken)?;
        // Of two entries for one name the first counts.
        if !seen.contains(&name) {
            let source = if name == HOST { HeaderSource::Authority } else { HeaderSource::Field(name.clone()) };
            out.push(Condition::Header(source, text(it)?));
            seen.push(name);
        }
    }
    for (index, it) in query_params.iter().enumerate() {
        if !query_params.iter().take(index).any(|before| before.name == it.name) {
            out.push(Condition::Query(it.name.as_str().into(), text(it)?));
        }
    }
    Ok(out)
}

fn text(it: &NamedMatch) -> Result<TextPattern, Box<Problem>> {
    Ok(match it.kind {
        NamedMatchKind::Exact => TextPattern::Exact(it.value.as_str().into()),
        NamedMatchKind::RegularExpression => matches::expression(&it.value)?,
    })
}
