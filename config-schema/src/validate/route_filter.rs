//! Rules of the filters of an HTTPRoute: which may stand together, and what each needs.

use std::collections::HashSet;

use super::check::{Check, is_header_name};
use super::kubernetes_gateway::hostname_of;
use crate::gateway_api::http_route::{HttpRoute, HttpRouteMatch, PathMatchKind};
use crate::gateway_api::route_filter::{
    HeaderModifier, PathModifier, PathModifierKind, RequestMirror, RequestRedirect, RouteFilter, RouteFilterKind,
    UrlRewrite,
};

/// The filters of a rule.
pub(super) fn of_rule(check: &mut Check<'_, HttpRoute>, at: &str, filters: &[RouteFilter], matches: &[HttpRouteMatch]) {
    let mut seen = HashSet::new();
    for (index, filter) in filters.iter().enumerate() {
        let at = format!("{at}[{index}]");
        one(check, &at, filter, matches);
        let Some(kind) = filter.kind else { continue };
        if !seen.insert(kind) && !matches!(kind, RouteFilterKind::RequestMirror | RouteFilterKind::ExtensionRef) {
            check.error(&at, format!("{} may stand once in a rule", kind.name()));
        }
    }
    if seen.contains(&RouteFilterKind::RequestRedirect) && seen.contains(&RouteFilterKind::UrlRewrite) {
        check.error(at, "a rule either redirects or rewrites");
    }
}

/// The filters of a backend.
pub(super) fn of_backend(check: &mut Check<'_, HttpRoute>, at: &str, filters: &[RouteFilter]) {
    for (index, filter) in filters.iter().enumerate() {
        let at = format!("{at}[{index}]");
        match filter.kind {
            Some(RouteFilterKind::RequestHeaderModifier | RouteFilterKind::ResponseHeaderModifier) | None => {
                one(check, &at, filter, &[]);
            }
            Some(kind) => check.error(&at, format!("{} stands at the rule, not at a backend", kind.name())),
        }
    }
}

fn one(check: &mut Check<'_, HttpRoute>, at: &str, filter: &RouteFilter, matches: &[HttpRouteMatch]) {
    let RouteFilter {
        kind,
        request_header_modifier,
        response_header_modifier,
        request_redirect,
        url_rewrite,
        request_mirror,
        cors,
        external_auth,
        extension_ref,
    } = filter;
    let given = [
        (RouteFilterKind::RequestHeaderModifier, request_header_modifier.is_some()),
        (RouteFilterKind::ResponseHeaderModifier, response_header_modifier.is_some()),
        (RouteFilterKind::RequestRedirect, request_redirect.is_some()),
        (RouteFilterKind::UrlRewrite, url_rewrite.is_some()),
        (RouteFilterKind::RequestMirror, request_mirror.is_some()),
        (RouteFilterKind::Cors, cors.is_some()),
        (RouteFilterKind::ExternalAuth, external_auth.is_some()),
        (RouteFilterKind::ExtensionRef, extension_ref.is_some()),
    ];
    let Some(kind) = *kind else { return check.error(format_args!("{at}.type"), "a filter has a type") };
    if given.iter().any(|(it, is_given)| *is_given != (*it == kind)) {
        check.error(at, format!("a filter of type {} has the field of that name and no other", kind.name()));
    }
    if let Some(why) = not_offered(kind) {
        check.error(at, why);
    }
    for it in request_header_modifier.iter().chain(response_header_modifier) {
        headers(check, at, it);
    }
    if let Some(it) = request_redirect {
        redirect(check, &format!("{at}.requestRedirect"), it, matches);
    }
    if let Some(UrlRewrite { hostname, path }) = url_rewrite {
        let at = format!("{at}.urlRewrite");
        precise(check, &at, hostname);
        path_modifier(check, &at, path.as_ref(), matches);
    }
    if let Some(it) = request_mirror {
        mirror(check, &format!("{at}.requestMirror"), it);
    }
}

/// What to use instead of a filter that is known and not offered.
fn not_offered(kind: RouteFilterKind) -> Option<&'static str> {
    match kind {
        RouteFilterKind::Cors => Some("CORS is not offered here; use `corsPolicy` of a VirtualService"),
        RouteFilterKind::ExternalAuth => Some("use an AuthorizationPolicy with action CUSTOM instead"),
        RouteFilterKind::RequestHeaderModifier
        | RouteFilterKind::ResponseHeaderModifier
        | RouteFilterKind::RequestRedirect
        | RouteFilterKind::UrlRewrite
        | RouteFilterKind::RequestMirror
        | RouteFilterKind::ExtensionRef => None,
    }
}

fn redirect(check: &mut Check<'_, HttpRoute>, at: &str, redirect: &RequestRedirect, matches: &[HttpRouteMatch]) {
    let RequestRedirect { scheme, hostname, path, port, status_code } = redirect;
    if !matches!(scheme.as_str(), "" | "http" | "https") {
        check.error(format_args!("{at}.scheme"), format!("`{scheme}` is neither http nor https"));
    }
    precise(check, at, hostname);
    if let Some(port) = port {
        check.port(format_args!("{at}.port"), *port);
    }
    if !matches!(status_code, None | Some(301 | 302 | 303 | 307 | 308)) {
        check.error(format_args!("{at}.statusCode"), "a redirect is 301, 302, 303, 307 or 308");
    }
    path_modifier(check, at, path.as_ref(), matches);
}

/// A host without a wildcard.
fn precise(check: &mut Check<'_, HttpRoute>, at: &str, hostname: &str) {
    if hostname.contains('*') {
        check.error(format_args!("{at}.hostname"), format!("`{hostname}` must be one host"));
    } else {
        hostname_of(check, format_args!("{at}.hostname"), hostname);
    }
}

fn headers(check: &mut Check<'_, HttpRoute>, at: &str, modifier: &HeaderModifier) {
    let HeaderModifier { set, add, remove } = modifier;
    let written = set.iter().chain(add).map(|it| &it.name);
    for name in written.chain(remove).filter(|it| !is_header_name(it)) {
        check.error(at, format!("`{name}` is no header name"));
    }
    for it in set.iter().chain(add).filter(|it| it.value.bytes().any(|it| it.is_ascii_control() && it != b'\t')) {
        check.error(at, format!("the value of `{}` holds control characters", it.name));
    }
}

fn path_modifier(check: &mut Check<'_, HttpRoute>, at: &str, path: Option<&PathModifier>, matches: &[HttpRouteMatch]) {
    let Some(PathModifier { kind, replace_full_path, replace_prefix_match }) = path else { return };
    let fits = match kind {
        Some(PathModifierKind::ReplaceFullPath) => replace_full_path.is_some() && replace_prefix_match.is_none(),
        Some(PathModifierKind::ReplacePrefixMatch) => replace_prefix_match.is_some() && replace_full_path.is_none(),
        None => false,
    };
    if !fits {
        check.error(format_args!("{at}.path"), "`type` names the one field that is set beside it");
    }
    if replace_full_path.as_ref().is_some_and(|it| !it.starts_with('/')) {
        check.error(format_args!("{at}.path.replaceFullPath"), "a path begins with a slash");
    }
    let replaces_prefix = *kind == Some(PathModifierKind::ReplacePrefixMatch);
    let is_prefix = |it: &HttpRouteMatch| it.path.as_ref().is_none_or(|it| it.kind == PathMatchKind::PathPrefix);
    if replaces_prefix && !matches.iter().all(is_prefix) {
        check.error(format_args!("{at}.path"), "a prefix can be replaced only where the rule matches by PathPrefix");
    }
}

fn mirror(check: &mut Check<'_, HttpRoute>, at: &str, mirror: &RequestMirror) {
    let RequestMirror { backend_ref, percent, fraction } = mirror;
    if backend_ref.name.is_empty() {
        check.error(format_args!("{at}.backendRef.name"), "a backend has a name");
    }
    if percent.is_some() && fraction.is_some() {
        check.error(at, "either a percentage or a fraction");
    }
    if percent.is_some_and(|it| it > 100) {
        check.error(format_args!("{at}.percent"), "a percentage is at most 100");
    }
    if fraction.is_some_and(|it| it.denominator == 0 || it.numerator > it.denominator) {
        check.error(format_args!("{at}.fraction"), "a fraction is at most 1");
    }
}
