//! Prepares what the upstream gets: the endpoint, then the head of the request.

use http::{HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::exchange::Exchange;
use super::facts::RequestFacts;
use crate::local_reply::Reason;
use crate::routing::rewrite::PathRewrite;
use crate::routing::route::Target;
use crate::upstream::peer;

const X_ENVOY_ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");

/// The endpoint of the next try.
pub(super) fn peer(session: &Session, exchange: &mut Exchange, draw: (u64, u64)) -> Result<Box<HttpPeer>> {
    exchange.attempt.number += 1;
    exchange.attempt.lease = None;
    let Some((_, destination)) = exchange.forward() else {
        return Err(give_up(exchange, Reason::Internal));
    };
    let cluster = match &destination.target {
        Target::Cluster(cluster) => std::sync::Arc::clone(cluster),
        Target::Missing(_) => return Err(give_up(exchange, Reason::NoCluster)),
    };
    let authority = destination.authority.clone();
    let Some(lease) = cluster.pick(draw) else { return Err(give_up(exchange, Reason::NoHealthyEndpoint)) };
    let own = session.req_header().headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let peer = peer::for_endpoint(&cluster, lease.endpoint(), authority.as_deref().unwrap_or(own))?;
    exchange.attempt.lease = Some(lease);
    Ok(peer)
}

fn give_up(exchange: &mut Exchange, reason: Reason) -> Box<Error> {
    exchange.end.reason = Some(reason);
    Error::explain(ErrorType::HTTPStatus(reason.status()), reason.details())
}

/// Changes the head of the request as the route says.
pub(super) fn prepare(session: &Session, request: &mut RequestHeader, exchange: &Exchange) -> Result<()> {
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
    let facts = RequestFacts { session, exchange, error: None, worker: 0 };
    for edits in destination.request_edits.iter() {
        let rendered = edits.render(&facts);
        edits.apply(request, rendered);
    }
    Ok(())
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
