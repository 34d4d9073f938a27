//! Asks the policies of the gateway about a request or a connection, before anything is looked for to serve it.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use http::header;
use pingora::http::RequestHeader;

use super::arrival::Opened;
use super::exchange::Exchange;
use super::tcp::Outline;
use crate::filter::authentication::{Asked, Outcome};
use crate::filter::authorization::subject::{Http, Subject};
use crate::filter::authorization::{Authorization, Verdict};
use crate::listener::connection::{Connection, Secured};
use crate::listener::set::ListenerKey;
use crate::local_reply::token_fault::TokenFault;
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::routing::request::Scheme;
use crate::telemetry::access_metrics::AccessMetrics;

/// Longest URL in the realm of a challenge (Envoy's).
const MAX_REALM: usize = 256;
/// Begins the URI of an identity of a mesh.
const SPIFFE: &str = "spiffe://";

/// Verifies the tokens of a request, and changes it as the rules say; the target may lose a token.
pub(super) fn authenticate(
    request: &mut RequestHeader,
    exchange: &mut Exchange,
    (target, authority): (String, &str),
    metrics: &AccessMetrics,
) -> Flow<String> {
    let snapshot = Arc::clone(&exchange.snapshot);
    let policy = &snapshot.authentication;
    if policy.is_empty() {
        return Flow::Continue(target);
    }
    if policy.own.is_named(request.headers.get_all(header::CONNECTION)) {
        // An identity that is removed on the way would be as good as none.
        return refuse(exchange, Reason::MalformedHead);
    }
    let now = exchange.time.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let asked = Asked { method: request.method.as_str(), target: &target, headers: &request.headers };
    match policy.judge(asked, i64::try_from(now).unwrap_or(i64::MAX)) {
        Ok(Outcome { identity, remove, set, target: changed }) => {
            for name in remove {
                request.remove_header(&name);
            }
            for (name, value) in set {
                // The names were checked when the policy was compiled.
                request.insert_header(name, value).unwrap_or_default();
            }
            if identity.is_some() {
                metrics.valid.inc();
            }
            exchange.identity = identity;
            let Some(changed) = changed else { return Flow::Continue(target) };
            match request.set_raw_path(changed.as_bytes()) {
                Ok(()) => Flow::Continue(changed),
                Err(_) => refuse(exchange, Reason::BadPath),
            }
        }
        Err(fault) => {
            metrics.validations.with_label_values(&[fault.name()]).inc();
            challenge(exchange, fault, authority, &target)
        }
    }
}

/// Refuses a token as Envoy does, with what a client could do about it.
fn challenge<T>(exchange: &mut Exchange, fault: TokenFault, authority: &str, target: &str) -> Flow<T> {
    let reason = Reason::Unauthenticated(fault);
    exchange.end.reason = Some(reason);
    let mut reply = LocalReply::because(reason);
    let scheme = exchange.known().map_or(Scheme::Http, |it| it.scheme).as_str();
    let realm: String = format!("{scheme}://{authority}{target}").chars().take(MAX_REALM).collect();
    let error = if fault == TokenFault::Missing { "" } else { ", error=\"invalid_token\"" };
    if let Ok(value) = header::HeaderValue::try_from(format!("Bearer realm=\"{realm}\"{error}")) {
        reply.headers.push((header::WWW_AUTHENTICATE, value));
    }
    Flow::Break(reply)
}

/// Asks who may do what about a request.
pub(super) fn authorize(
    request: &RequestHeader,
    exchange: &mut Exchange,
    opened: &Opened,
    metrics: &AccessMetrics,
) -> Flow {
    let snapshot = Arc::clone(&exchange.snapshot);
    let policy = &snapshot.authorization;
    if policy.is_empty() {
        return Flow::Continue(());
    }
    let host = opened.authority.to_ascii_lowercase();
    let Some(verdict) = subject(request, exchange, (opened, &host)).map(|it| judge(policy, &it, metrics)) else {
        return refuse(exchange, Reason::Internal);
    };
    match verdict {
        Verdict::Allowed => Flow::Continue(()),
        Verdict::Denied(rule) => {
            exchange.end.details = Some(denial(rule.as_deref()));
            refuse(exchange, Reason::Forbidden)
        }
    }
}

/// A request as policies see it; `host` is its host in lower case.
pub(super) fn subject<'a>(
    request: &'a RequestHeader,
    exchange: &'a Exchange,
    (opened, host): (&'a Opened, &'a str),
) -> Option<Subject<'a>> {
    let known = exchange.known()?;
    let http = Http {
        method: request.method.as_str(),
        host,
        path: opened.path(),
        headers: &request.headers,
        claims: exchange.identity.as_ref().map(|it| &it.claims),
        credentials: &exchange.credentials,
    };
    Some(Subject { client: known.address, http: Some(http), ..of_connection(&known.connection) })
}

/// Asks who may do what about a connection without requests; says whether it may stay.
pub(super) fn admits_connection(policy: &Authorization, subject: &Subject<'_>, metrics: &AccessMetrics) -> bool {
    policy.is_empty() || judge(policy, subject, metrics) == Verdict::Allowed
}

/// A connection without requests, as policies see it.
pub(super) fn of_outline(outline: &Outline, listener: ListenerKey) -> Subject<'_> {
    let (local, peer) = outline.accepted;
    Subject {
        peer: peer.ip().to_canonical(),
        client: peer.ip().to_canonical(),
        destination: local.ip().to_canonical(),
        port: listener.port,
        server_name: outline.secured.as_ref().map_or("", |it| &it.server_name),
        principal: outline.secured.as_ref().and_then(principal),
        http: None,
    }
}

fn of_connection(connection: &Connection) -> Subject<'_> {
    let secured = connection.secured.as_ref();
    let peer = connection.peer.ip().to_canonical();
    Subject {
        peer,
        client: peer,
        destination: connection.local.ip().to_canonical(),
        port: connection.listener.port,
        server_name: secured.map_or("", |it| &it.server_name),
        principal: secured.and_then(principal),
        http: None,
    }
}

/// The identity of a client certificate that was verified.
pub(super) fn principal(secured: &Secured) -> Option<&str> {
    let client = secured.client.as_ref().filter(|it| it.is_verified)?;
    client.uris.iter().find_map(|it| it.strip_prefix(SPIFFE))
}

/// The verdict, counted; what is only rehearsed or audited is counted too and changes nothing.
fn judge(policy: &Authorization, subject: &Subject<'_>, metrics: &AccessMetrics) -> Verdict {
    let count = |decision: &str, rule: &str| metrics.decisions.with_label_values(&[decision, rule]).inc();
    if let Some(rule) = policy.audit(subject) {
        count("audited", rule);
    }
    if let Some(Verdict::Denied(rule)) = policy.rehearse(subject) {
        count("would_deny", rule.as_deref().unwrap_or("none"));
    }
    let verdict = policy.judge(subject);
    match &verdict {
        Verdict::Allowed => metrics.allowed.inc(),
        Verdict::Denied(rule) => count("denied", rule.as_deref().unwrap_or("none")),
    }
    verdict
}

/// Envoy's response code detail.
fn denial(rule: Option<&str>) -> Box<str> {
    format!("rbac_access_denied_matched_policy[{}]", rule.unwrap_or("none")).into()
}

fn refuse<T>(exchange: &mut Exchange, reason: Reason) -> Flow<T> {
    exchange.end.reason = Some(reason);
    Flow::Break(LocalReply::because(reason))
}
