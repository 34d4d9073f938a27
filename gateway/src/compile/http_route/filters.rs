//! Lowers the filters of a rule: header changes, redirect, rewrite, copies.

use std::sync::Arc;

use config_schema::Problem;
use config_schema::gateway_api::http_route::PathMatch;
use config_schema::gateway_api::route_filter::{
    Fraction, HeaderModifier, PathModifier, RequestMirror, RequestRedirect, RouteFilter, UrlRewrite,
};
use http::HeaderValue;

use super::rules::Rule;
use crate::compile::clusters::Clusters;
use crate::compile::headers;
use crate::compile::matches::{self, broken};
use crate::filter::fault::{Share, WHOLE};
use crate::filter::header_edits::{HeaderEdits, Mode, Value, Write};
use crate::routing::redirect::{Redirect, RedirectPath, RedirectPort};
use crate::routing::request::Scheme;
use crate::routing::rewrite::PathRewrite;
use crate::routing::route::Mirror;

/// What a rule does besides choosing backends.
pub(super) struct Filters {
    pub(super) requests: Option<HeaderEdits>,
    pub(super) responses: Option<HeaderEdits>,
    pub(super) authority: Option<Arc<str>>,
    pub(super) redirect: Option<Redirect>,
    pub(super) rewrite: PathRewrite,
    pub(super) mirrors: Vec<Mirror>,
    /// Whether one is somebody else's, so that the rule cannot be followed.
    pub(super) is_unknown: bool,
}

/// The filters of a rule for one of its matches.
pub(super) fn lower(
    rule: &Rule<'_>,
    matched: Option<&PathMatch>,
    clusters: &mut Clusters<'_>,
) -> Result<Filters, Box<Problem>> {
    let mut out = Filters {
        requests: None,
        responses: None,
        authority: None,
        redirect: None,
        rewrite: PathRewrite::Keep,
        mirrors: Vec::new(),
        is_unknown: false,
    };
    for filter in &rule.written.filters {
        let RouteFilter {
            kind: _,
            request_header_modifier,
            response_header_modifier,
            request_redirect,
            url_rewrite,
            request_mirror,
            cors: _,
            external_auth: _,
            extension_ref,
        } = filter;
        if let Some(it) = request_header_modifier {
            out.authority = authority(it).or(out.authority);
            out.requests = Some(edits(it)?);
        }
        if let Some(it) = response_header_modifier {
            out.responses = Some(edits(it)?);
        }
        if let Some(it) = request_redirect {
            out.redirect = Some(redirect(it, matched)?);
        }
        if let Some(UrlRewrite { hostname, path }) = url_rewrite {
            out.authority = Some(hostname.as_str()).filter(|it| !it.is_empty()).map(Arc::from).or(out.authority);
            out.rewrite = match replacement(path.as_ref(), matched) {
                None => PathRewrite::Keep,
                Some(Replacement::Whole(path)) => PathRewrite::Whole(path.into()),
                Some(Replacement::Segments(length, path)) => PathRewrite::Segments(length, path.into()),
            };
        }
        if let Some(RequestMirror { backend_ref, percent, fraction }) = request_mirror.as_deref() {
            out.mirrors.push(Mirror { target: rule.target(backend_ref, clusters)?, share: share(*percent, *fraction) });
        }
        out.is_unknown |= extension_ref.is_some();
    }
    Ok(out)
}

/// The changes to headers of requests and of responses that a backend asks for.
pub(super) fn of_backend(filters: &[RouteFilter]) -> Result<(HeaderEdits, HeaderEdits), Box<Problem>> {
    let (mut requests, mut responses) = (HeaderEdits::default(), HeaderEdits::default());
    for it in filters {
        if let Some(it) = &it.request_header_modifier {
            requests = edits(it)?;
        }
        if let Some(it) = &it.response_header_modifier {
            responses = edits(it)?;
        }
    }
    Ok((requests, responses))
}

/// Values are taken as they are: here, nothing in them is a command.
fn edits(modifier: &HeaderModifier) -> Result<HeaderEdits, Box<Problem>> {
    let HeaderModifier { set, add, remove } = modifier;
    let name = |it: &String| headers::header_name(it).map_err(broken);
    let remove = remove.iter().map(name).collect::<Result<_, _>>()?;
    let mut write = Vec::with_capacity(set.len() + add.len());
    for (mode, written) in [(Mode::Set, set), (Mode::Add, add)] {
        for it in written.iter().filter(|it| !headers::is_authority(&it.name)) {
            let value = HeaderValue::from_str(&it.value).map_err(|error| broken(error.to_string()))?;
            write.push(Write { name: name(&it.name)?, value: Value::Fixed(value), mode });
        }
    }
    Ok(HeaderEdits { remove, write: write.into() })
}

/// A new `Host`, which is no header like others.
fn authority(modifier: &HeaderModifier) -> Option<Arc<str>> {
    modifier.set.iter().find(|it| headers::is_authority(&it.name)).map(|it| it.value.as_str().into())
}

/// What a path becomes.
enum Replacement<'a> {
    Whole(&'a str),
    /// The first bytes of it.
    Segments(usize, &'a str),
}

fn replacement<'a>(path: Option<&'a PathModifier>, matched: Option<&PathMatch>) -> Option<Replacement<'a>> {
    let PathModifier { kind: _, replace_full_path, replace_prefix_match } = path?;
    if let Some(path) = replace_full_path {
        return Some(Replacement::Whole(path));
    }
    let length = matched.and_then(PathMatch::prefix).map_or(0, str::len);
    Some(Replacement::Segments(length, replace_prefix_match.as_deref()?.trim_end_matches('/')))
}

fn redirect(redirect: &RequestRedirect, matched: Option<&PathMatch>) -> Result<Redirect, Box<Problem>> {
    let RequestRedirect { scheme, hostname, path, port, status_code } = redirect;
    let status = matches::status(status_code.unwrap_or(302));
    let scheme = Scheme::named(scheme);
    Ok(Redirect {
        status: status.ok_or_else(|| broken("a redirect needs a status".to_owned()))?,
        scheme,
        host: (!hostname.is_empty()).then(|| hostname.as_str().into()),
        port: match (port, scheme) {
            (Some(port), _) => RedirectPort::Fixed(u16::try_from(*port).unwrap_or_default()),
            (None, Some(_)) => RedirectPort::ProtocolDefault,
            (None, None) => RedirectPort::Listener,
        },
        path: match replacement(path.as_ref(), matched) {
            None => RedirectPath::Keep,
            Some(Replacement::Whole(path)) => RedirectPath::Replace(path.into()),
            Some(Replacement::Segments(length, path)) => RedirectPath::ReplaceSegments(length, path.into()),
        },
    })
}

fn share(percent: Option<u32>, fraction: Option<Fraction>) -> Share {
    let parts = |numerator: u32, denominator: u32| {
        u64::from(numerator).saturating_mul(u64::from(WHOLE)).checked_div(u64::from(denominator)).unwrap_or_default()
    };
    let parts = match (percent, fraction) {
        (Some(percent), _) => parts(percent, 100),
        (None, Some(it)) => parts(it.numerator, it.denominator),
        (None, None) => u64::from(WHOLE),
    };
    Share(u32::try_from(parts).unwrap_or(WHOLE).min(WHOLE))
}
