//! Reads a request that was just admitted: its path, its client, its route.
//!
//! The order is a promise: the path has its normal form before anything judges it, the
//! client is known before its headers are believed, headers are cleaned before routes may
//! match on them, and who may pass is asked before it is said what there is.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, Version, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use super::exchange::{Client, Exchange, Way};
use super::{access, affinity, attempt, client, client_cert, timeout};
use crate::filter::authentication::Identity;
use crate::listener::http1::head::Role;
use crate::listener::http1::host;
use crate::listener::limits::MAX_HEAD_FIELDS;
use crate::local_reply::egress_fault::EgressFault;
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::routing::path;
use crate::routing::redirect::Redirect;
use crate::routing::request::{Request, Scheme};
use crate::routing::route::{Action, Route};
use crate::routing::virtual_host::VirtualHost;
use crate::snapshot::Service;
use crate::snapshot::tls_table::Misdirected;
use crate::telemetry::access_metrics::AccessMetrics;

/// A request in its normal form, of a known client.
pub(super) struct Opened {
    /// Normalised path with query.
    pub(super) target: String,
    /// Host with port.
    pub(super) authority: String,
    pub(super) scheme: Scheme,
}

impl Opened {
    /// The path without query.
    pub(super) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |it| it.0)
    }
}

/// Brings a request into its normal form.
pub(super) fn open(session: &mut ServerSession, exchange: &mut Exchange) -> Flow<Opened> {
    let request = session.req_header_mut();
    // HTTP/1.1 heads were counted by the guard; the frames of HTTP/2 carry no such bound.
    if request.headers.len() > MAX_HEAD_FIELDS {
        return refuse(exchange, Reason::HeadTooLarge);
    }
    let target = if request.method == Method::CONNECT { "/".to_owned() } else { target(request, exchange)? };
    let authority = authority(request, exchange)?;
    check_purpose(request, exchange)?;
    // HTTP/2 names it in the URI, which whoever changes the path makes anew; for a tunnel `Host` may say less.
    let said = request.headers.get(header::HOST);
    let says_less = said.is_none_or(|it| request.method == Method::CONNECT && it != authority.as_str());
    if says_less && request.insert_header(header::HOST, authority.as_str()).is_err() {
        return refuse(exchange, Reason::MalformedHead);
    }
    let changes = request.method != Method::CONNECT && request.raw_path() != target.as_bytes();
    if changes && request.set_raw_path(target.as_bytes()).is_err() {
        return refuse(exchange, Reason::BadPath);
    }
    let scheme = identify(request, exchange);
    if exchange.snapshot.settings.cors_first {
        let opened = Opened { target, authority, scheme };
        cors_first(&asked(request, exchange, &opened, None), exchange)?;
        return Flow::Continue(opened);
    }
    Flow::Continue(Opened { target, authority, scheme })
}

/// Asks who may do what, and finds the route.
pub(super) fn admit(
    session: &mut ServerSession,
    exchange: &mut Exchange,
    opened: Opened,
    metrics: &AccessMetrics,
) -> Flow<Opened> {
    let request = session.req_header_mut();
    let Opened { target, authority, scheme } = opened;
    let target = access::authenticate(request, exchange, (target, &authority), metrics)?;
    let opened = Opened { target, authority, scheme };
    access::authorize(request, exchange, &opened, metrics)?;
    let identity = exchange.identity.clone();
    let asked = asked(request, exchange, &opened, identity.as_deref());
    let virtual_host = match virtual_host(exchange, &asked.host()) {
        Ok(it) => it,
        Err(reason) => return refuse(exchange, reason),
    };
    if virtual_host.https_redirect && scheme == Scheme::Http {
        redirect(exchange, Reason::HttpsRedirect, &Redirect::to_https(), &asked)?;
    }
    let Some(route) = virtual_host.find(&asked) else { return refuse(exchange, Reason::NoRoute) };
    exchange.way = Way::Answered(Arc::clone(route));
    exchange.virtual_host = Some(Arc::clone(&virtual_host.name));
    Flow::Continue(opened)
}

/// Follows the route that was found; answers where no upstream is asked.
pub(super) fn follow(session: &ServerSession, exchange: &mut Exchange, opened: &Opened) -> Flow {
    let Some(route) = exchange.route().map(Arc::clone) else { return refuse(exchange, Reason::NoRoute) };
    let identity = exchange.identity.clone();
    let asked = asked(session.req_header(), exchange, opened, identity.as_deref());
    take(&route, &asked, exchange)
}

/// A request as routes see it.
pub(super) fn asked<'a>(
    request: &'a RequestHeader,
    exchange: &Exchange,
    opened: &'a Opened,
    identity: Option<&'a Identity>,
) -> Request<'a> {
    Request {
        method: request.method.as_str(),
        scheme: opened.scheme,
        authority: &opened.authority,
        target: &opened.target,
        headers: &request.headers,
        port: exchange.known().map_or(0, |it| it.connection.listener.port),
        claims: identity.map(|it| &it.claims),
    }
}

/// The route that a request would take if it came from nobody.
pub(super) fn preview(exchange: &Exchange, asked: &Request<'_>) -> Option<Arc<Route>> {
    virtual_host(exchange, &asked.host()).ok()?.find(asked).map(Arc::clone)
}

/// The virtual host of a request, among those that its connection may ask for.
fn virtual_host(exchange: &Exchange, host: &str) -> Result<Arc<VirtualHost>, Reason> {
    let known = exchange.known().ok_or(Reason::Internal)?;
    let listener = exchange.snapshot.listener(known.connection.listener).ok_or(Reason::NoRoute)?;
    let hosts = match (&listener.service, &known.connection.secured) {
        (Service::Http(hosts), None) => hosts,
        (Service::Tls(table), Some(secured)) => {
            table.hosts(secured, host).map_err(|Misdirected| Reason::Misdirected)?
        }
        // The port serves something else since the connection was made.
        (Service::Http(_), Some(_)) | (Service::Tls(_), None) => return Err(Reason::Misdirected),
        (Service::Tcp(_) | Service::Proxy(_), _) => return Err(Reason::NoRoute),
    };
    hosts.find(host).map(Arc::clone).ok_or(Reason::NoRoute)
}

/// Answers a preflight before anybody asks for a token, and marks refusals so that a page may read them.
fn cors_first(asked: &Request<'_>, exchange: &mut Exchange) -> Flow {
    let Some(route) = preview(exchange, asked) else { return Flow::Continue(()) };
    let Some(cors) = &route.cors else { return Flow::Continue(()) };
    exchange.way = Way::Answered(Arc::clone(&route));
    cors.on_request(asked.method, asked.headers).map_break(|reply| {
        exchange.end.reason = Some(reply.reason);
        reply
    })
}

/// The normal form of the target, in origin form.
fn target(request: &RequestHeader, exchange: &mut Exchange) -> Flow<String> {
    let Ok(raw) = std::str::from_utf8(request.raw_path()) else { return refuse(exchange, Reason::BadPath) };
    let origin_form = if raw.starts_with('/') || raw == "*" {
        raw
    } else {
        // Absolute form: what follows the authority.
        let after = raw.split_once("://").map_or("", |(_, it)| it);
        after.find(['/', '?']).and_then(|at| after.get(at..)).unwrap_or("/")
    };
    if origin_form == "*" {
        return Flow::Continue("*".to_owned());
    }
    let rooted = if origin_form.starts_with('?') { format!("/{origin_form}") } else { origin_form.to_owned() };
    let is_clean = rooted.bytes().all(|it| it.is_ascii_graphic() && !matches!(it, b'#' | b'"' | b'<' | b'>'));
    match path::normalize(&rooted, exchange.snapshot.settings.normalization) {
        Ok(target) if is_clean => Flow::Continue(target.into_owned()),
        Ok(_) | Err(path::BadPath) => refuse(exchange, Reason::BadPath),
    }
}

/// What heads of HTTP/1.1 were judged by already: tunnels are for proxies, and TLS is for their clients to begin.
fn check_purpose(request: &RequestHeader, exchange: &mut Exchange) -> Flow {
    let role = exchange.known().map_or(Role::Server, |it| it.connection.role);
    let is_connect = request.method == Method::CONNECT;
    match role {
        Role::Server if is_connect => refuse(exchange, Reason::ConnectRefused),
        Role::Proxy if !is_connect && request.uri.scheme_str() == Some("https") => {
            refuse(exchange, Reason::Egress(EgressFault::NoTarget))
        }
        Role::Server | Role::Proxy => Flow::Continue(()),
    }
}

/// Learns who the client is, and cleans the headers that speak of it.
fn identify(request: &mut RequestHeader, exchange: &mut Exchange) -> Scheme {
    let trusted = exchange.snapshot.settings.trusted_proxies;
    let Client::Known(known) = &mut exchange.client else { return Scheme::Http };
    let peer = known.connection.peer.ip().to_canonical();
    let secured = known.connection.secured.as_ref();
    let own = if secured.is_some() { Scheme::Https } else { Scheme::Http };
    (known.address, known.scheme) = match &known.connection.inside {
        None => (client::address(&request.headers, peer, trusted), client::scheme(&request.headers, own, trusted)),
        // What a client says inside of its tunnel is not what a trusted proxy said of it.
        Some(tunnel) => (tunnel.client, own),
    };
    let shown = secured.and_then(|it| it.client.as_ref());
    client_cert::forward(request, exchange.snapshot.settings.client_certificates, shown);
    client::sanitize(request, peer, known.scheme, trusted, || client::request_id(fastrand::u128(..)));
    known.scheme
}

/// Host with port, from `:authority` or `Host`; h2 requests come past the guard of HTTP/1.1.
fn authority(request: &RequestHeader, exchange: &mut Exchange) -> Flow<String> {
    let from_uri = request.uri.authority().map(|it| it.as_str().as_bytes());
    let mut fields = request.headers.get_all(header::HOST).iter();
    let from_field = fields.next().map(header::HeaderValue::as_bytes);
    let several = fields.next().is_some();
    let contradict = matches!((from_uri, from_field), (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b));
    // The guard has compared it with the field, which may say less.
    let is_target = request.method == Method::CONNECT && request.version != Version::HTTP_2;
    let from_target = is_target.then(|| request.raw_path());
    match from_target.or(from_uri).or(from_field) {
        Some(it) if host::is_valid(it) && !several && !contradict => {
            Flow::Continue(String::from_utf8_lossy(it).into_owned())
        }
        Some(_) | None => refuse(exchange, Reason::MalformedHead),
    }
}

/// Follows a route: to a destination, or to an answer of our own.
fn take(route: &Arc<Route>, asked: &Request<'_>, exchange: &mut Exchange) -> Flow {
    filter(route, asked, exchange).map_break(|reply| {
        exchange.end.reason = Some(reply.reason);
        reply
    })?;
    match &route.action {
        Action::Forward(to) => {
            exchange.way = Way::Forwarded(Arc::clone(route), to.pick(fastrand::u32(..)));
            exchange.timeout = timeout::of(to.timeout, asked.headers);
            exchange.affinity = affinity::find(asked, exchange, || fastrand::u64(..));
            exchange.copies.to = to.mirrored(|| fastrand::u32(..));
            Flow::Continue(())
        }
        Action::Redirect(to) => redirect(exchange, Reason::Redirect, to, asked),
        Action::Respond(status, body) => {
            exchange.end.reason = Some(Reason::DirectResponse);
            let mut reply = LocalReply::because(Reason::DirectResponse);
            reply.status = *status;
            reply.body = body.clone();
            Flow::Break(reply)
        }
    }
}

/// The policies of a route, in the order that [`crate::filter`] says.
fn filter(route: &Route, asked: &Request<'_>, exchange: &mut Exchange) -> Flow {
    if let Some(fault) = &route.fault {
        exchange.delay = fault.delay(fastrand::u32(..));
        fault.abort(fastrand::u32(..))?;
    }
    if let Some(cors) = &route.cors {
        cors.on_request(asked.method, asked.headers)?;
    }
    Flow::Continue(())
}

/// Waits as long as a fault says, whatever follows.
pub(super) async fn delay(exchange: &mut Exchange) {
    if let Some(delay) = exchange.delay.take() {
        tokio::time::sleep(delay).await;
        exchange.delayed = true;
    }
}

/// Starts the time of a request that is forwarded, and chooses its endpoint.
///
/// Done here and not when the endpoint is needed, so that a refusal keeps the connection.
pub(super) fn place(exchange: &mut Exchange, now: impl Fn() -> Instant) -> Flow {
    exchange.deadline = exchange.timeout.map(|(it, _)| now() + it);
    attempt::admit(exchange, super::chance()).map_or_else(|reason| refuse(exchange, reason), Flow::Continue)
}

fn redirect(exchange: &mut Exchange, reason: Reason, redirect: &Redirect, asked: &Request<'_>) -> Flow {
    exchange.end.reason = Some(reason);
    let mut reply = LocalReply::because(reason);
    reply.status = redirect.status;
    match header::HeaderValue::try_from(redirect.location(asked)) {
        Ok(location) => {
            reply.headers.push((header::LOCATION, location));
            Flow::Break(reply)
        }
        Err(_) => refuse(exchange, Reason::BadPath),
    }
}

fn refuse<T>(exchange: &mut Exchange, reason: Reason) -> Flow<T> {
    exchange.end.reason = Some(reason);
    Flow::Break(LocalReply::because(reason))
}
