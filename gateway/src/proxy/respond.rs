//! Writes replies of our own, and finishes the responses of upstreams.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::exchange::Exchange;
use super::facts::RequestFacts;
use super::limit;
use crate::filter::header_edits::Headers as _;
use crate::listener::limits::MAX_DRAIN_BYTES;
use crate::local_reply::{LocalReply, Reason, SERVER, grpc_status};
use crate::text::listed;

/// Sends a reply; the connection stays when both sides know where the next request begins.
pub(super) async fn send(session: &mut Session, exchange: &Exchange, reply: LocalReply) -> Result<()> {
    let request = session.req_header();
    // To CONNECT, gRPC's 200 would say that there is a tunnel.
    if is_grpc(&request.headers) && request.method != Method::CONNECT {
        return send_grpc(session, exchange, reply).await;
    }
    let reason = reply.reason;
    let (response, body) = reply_of(session, exchange, reply)?;
    if !keeps(session, exchange, reason) {
        session.set_keepalive(None);
    }
    let is_head = session.req_header().method == Method::HEAD;
    let ends = body.is_empty() || is_head || is_bodiless(response.status);
    session.write_response_header(Box::new(response), ends).await?;
    if !ends {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// A reply as a response of HTTP, with its body.
pub(super) fn reply_of(
    session: &ServerSession,
    exchange: &Exchange,
    reply: LocalReply,
) -> Result<(ResponseHeader, Bytes)> {
    let LocalReply { reason: _, status, headers, body } = reply;
    let mut response = ResponseHeader::build(status, Some(headers.len() + 4))?;
    for (name, value) in headers {
        response.append_header(name, value)?;
    }
    if !body.is_empty() && !response.headers.contains_key(header::CONTENT_TYPE) {
        response.insert_header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))?;
    }
    decorate(session, &mut response, exchange);
    if !is_bodiless(status) {
        response.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    response.insert_header(header::SERVER, SERVER)?;
    Ok((response, body))
}

/// Whether responses of this status have no body, and no length.
fn is_bodiless(status: StatusCode) -> bool {
    status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// Whether a request is a gRPC call, whose client looks for its status in a header of gRPC's own.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|it| it.is_empty() || it.starts_with(b"+") || it.starts_with(b";"))
}

/// Sends a reply in gRPC's form: status 200, and the outcome in `grpc-status` (as Envoy does).
async fn send_grpc(session: &mut Session, exchange: &Exchange, reply: LocalReply) -> Result<()> {
    let LocalReply { reason, status, headers, body } = reply;
    let mut response = ResponseHeader::build(StatusCode::OK, Some(headers.len() + 5))?;
    let plain = HeaderValue::from_static("application/grpc");
    let web = exchange.bridge.as_ref().and_then(|it| it.web_type(Some(&plain)));
    response.insert_header("grpc-status", HeaderValue::from(u16::from(grpc_status(reason, status))))?;
    if let Ok(message) = HeaderValue::from_bytes(&body) {
        response.insert_header("grpc-message", message)?;
    }
    // A reply may have a gRPC status of its own, which stands over the one for its HTTP status.
    for (name, value) in headers {
        response.insert_header(name, value)?;
    }
    response.insert_header(header::CONTENT_TYPE, web.unwrap_or(plain))?;
    response.insert_header(header::CONTENT_LENGTH, 0)?;
    decorate(session, &mut response, exchange);
    response.insert_header(header::SERVER, SERVER)?;
    if !keeps(session, exchange, reason) {
        session.set_keepalive(None);
    }
    session.write_response_header(Box::new(response), true).await
}

/// Whether the connection may stay after a reply.
pub(super) fn keeps(session: &ServerSession, exchange: &Exchange, reason: Reason) -> bool {
    reason.keeps_connection() && !exchange.is_closing() && can_drain(session)
}

/// Whether an unread request body is small enough to be read for the sake of the connection.
fn can_drain(session: &ServerSession) -> bool {
    let headers = &session.req_header().headers;
    let length = headers.get(header::CONTENT_LENGTH).map(|it| it.to_str().ok().and_then(|it| it.parse::<u64>().ok()));
    match length {
        Some(length) => length.is_some_and(|it| it <= MAX_DRAIN_BYTES),
        None => !headers.contains_key(header::TRANSFER_ENCODING),
    }
}

/// Refuses a response that the request cannot have: a switch of protocols nobody asked for.
pub(super) fn admit(session: &Session, response: &ResponseHeader) -> Result<()> {
    if response.status == StatusCode::SWITCHING_PROTOCOLS && !session.is_upgrade_req() {
        let mut error = Error::explain(ErrorType::InvalidHTTPHeader, "a switch of protocols that nobody asked for");
        error.as_up();
        return Err(error);
    }
    Ok(())
}

/// Finishes the response of an upstream.
pub(super) fn finish(session: &mut Session, response: &mut ResponseHeader, exchange: &Exchange) {
    if response.status == StatusCode::SWITCHING_PROTOCOLS
        && let Some(known) = exchange.known()
    {
        known.connection.set_upgraded();
        return;
    }
    for name in [header::CONNECTION.as_str(), "keep-alive", "proxy-connection"] {
        strip_hop_by_hop(response, name);
    }
    response.set(header::SERVER, SERVER);
    decorate(session, response, exchange);
    if exchange.is_closing() {
        session.set_keepalive(None);
    }
}

/// Removes a hop-by-hop header, with those that `Connection` names (RFC 9110 §7.6.1).
fn strip_hop_by_hop(response: &mut ResponseHeader, name: &str) {
    if name == header::CONNECTION {
        let named: Vec<String> = listed(response.headers.get_all(header::CONNECTION))
            .map(str::to_ascii_lowercase)
            // Framing is Pingora's matter, and `close` and `keep-alive` name no header.
            .filter(|it| {
                !matches!(it.as_str(), "" | "close" | "keep-alive" | "content-length" | "transfer-encoding" | "upgrade")
            })
            .collect();
        for it in named {
            response.remove_header(it.as_str());
        }
        return;
    }
    response.remove_header(name);
}

/// Applies what the route says of responses, whoever gave them.
fn decorate(session: &ServerSession, response: &mut ResponseHeader, exchange: &Exchange) {
    for change in &exchange.granted {
        change.apply(response);
    }
    for (name, value) in limit::report(exchange) {
        response.set(name, value);
    }
    let Some(route) = exchange.route() else { return };
    if let Some(cookie) = &exchange.affinity.cookie {
        response.add(header::SET_COOKIE, cookie.clone());
    }
    if let Some(cors) = &route.cors {
        cors.on_response(&session.req_header().headers, response);
    }
    let edits = match exchange.forward() {
        Some((_, destination)) => &destination.response_edits,
        None => &route.response_edits,
    };
    if edits.is_empty() {
        return;
    }
    let facts = RequestFacts { session, exchange, error: None, worker: 0 };
    for it in edits.iter() {
        let rendered = it.render(&facts);
        it.apply(response, rendered);
    }
}
