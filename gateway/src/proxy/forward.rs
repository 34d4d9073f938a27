//! Prepares what the upstream gets: the endpoint, then the head of the request.

use std::time::Instant;

use http::{HeaderName, HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

use super::attempt;
use super::exchange::Exchange;
use super::facts::RequestFacts;
use crate::local_reply::Reason;
use crate::routing::rewrite::PathRewrite;

const X_ENVOY_ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");

/// The host that the client asked for.
pub(super) fn host(session: &Session) -> &str {
    session.req_header().headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default()
}

/// Ends a response whose route has no time left, though it still arrives.
pub(super) fn check_time(exchange: &mut Exchange, now: impl Fn() -> Instant) -> pingora::Result<()> {
    match exchange.time_left(now) {
        Some(left) if left.is_zero() => {
            let mut error = give_up(exchange, exchange.late());
            error.as_up();
            Err(error)
        }
        Some(_) | None => Ok(()),
    }
}

/// Ends an exchange for a reason of ours.
pub(super) fn give_up(exchange: &mut Exchange, reason: Reason) -> Box<Error> {
    exchange.end.reason = Some(reason);
    Error::explain(ErrorType::HTTPStatus(reason.status()), reason.details())
}

/// Changes the head of the request as the route says.
pub(super) fn prepare(session: &Session, request: &mut RequestHeader, exchange: &Exchange) -> pingora::Result<()> {
    join_cookies(request);
    let Some((forward, destination)) = exchange.forward() else { return Ok(()) };
    if !matches!(forward.rewrite, PathRewrite::Keep) {
        let target = String::from_utf8_lossy(request.raw_path()).into_owned();
        let rewritten = forward.rewrite.apply(&target);
        request.set_raw_path(rewritten.as_bytes())?;
        request.insert_header(X_ENVOY_ORIGINAL_PATH, target)?;
    }
    if let Some(authority) = &destination.authority {
        request.insert_header(header::HOST, authority.as_ref())?;
    }
    // HTTP/2 knows no such header; its connections are left by whoever finds them spent.
    if request.version != Version::HTTP_2 && is_last_of_connection(exchange) {
        request.insert_header(header::CONNECTION, "close")?;
    }
    let facts = RequestFacts { session, exchange, error: None, worker: 0 };
    for edits in destination.request_edits.iter() {
        let rendered = edits.render(&facts);
        edits.apply(request, rendered);
    }
    if !exchange.snapshot.egress_credentials.is_empty()
        && let Ok(cluster) = attempt::cluster(exchange)
    {
        // Behind everything else, so that nothing that renders headers ever sees a secret.
        for (name, value) in exchange.snapshot.egress_credentials.of(&cluster.definition().host) {
            request.insert_header(name, value.clone())?;
        }
    }
    Ok(())
}

/// Whether the connection has served its time, or its number of requests.
fn is_last_of_connection(exchange: &Exchange) -> bool {
    exchange.attempts.connection.as_ref().is_some_and(|it| it.of().is_spent(Instant::now))
}

/// HTTP/2 may split a cookie over fields, which HTTP/1.1 servers do not expect (RFC 9113 §8.2.3).
fn join_cookies(request: &mut RequestHeader) {
    if request.headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = request.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        // The name is a constant, so this cannot fail.
        request.insert_header(header::COOKIE, joined).unwrap_or_default();
    }
}
