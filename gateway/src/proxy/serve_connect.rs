//! Serves CONNECT of HTTP/1.1: judged by the same hands as any request, but not in Pingora's phases.
//!
//! Those keep room for all that may become of a request that is forwarded, for as long as it
//! lasts: 13 KiB that are laid out and moved at its beginning. A tunnel needs none of it, and
//! may last for days. The guard has judged every byte of the head already, so the request is
//! made of it here; a [`StandIn`] is its session from the beginning, and the connection itself
//! waits in the exchange until a tunnel takes it or a refusal is written to it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::{ServerSession, date};
use pingora::proxy::ProxyHttp as _;
use pingora::{ErrorType, OrErr as _, Result};
use tokio::io::AsyncWriteExt as _;

use super::exchange::{ClientStream, Exchange};
use super::gateway::{Found, Gateway};
use super::stand_in::StandIn;
use super::{arrival, outcome, respond};
use crate::listener::http1::head;
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::text::listed;

/// Headers that the gateway adds to what the client sent.
const ADDED: usize = 4;

/// A session for those who ask it about the request that the guard has judged; it reaches nobody.
pub(super) fn session(stream: &mut ClientStream) -> Result<Box<ServerSession>> {
    let request = request(&stream.take_head())?;
    // Boxed: it has room for all that the others are.
    Ok(Box::new(ServerSession::new_custom(Box::new(StandIn::new(request)))))
}

/// The request of a judged head.
fn request(judged: &[u8]) -> Result<RequestHeader> {
    let (target, version, fields) = head::connect(judged);
    let lines = judged.iter().filter(|it| **it == b'\n').count();
    let mut request = RequestHeader::build_no_case(Method::CONNECT, target, Some(lines + ADDED))?;
    request.set_version(version);
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name).or_err(ErrorType::InvalidHTTPHeader, "its name")?;
        let value = HeaderValue::from_bytes(value).or_err(ErrorType::InvalidHTTPHeader, "its value")?;
        request.append_header(name, value)?;
    }
    Ok(request)
}

/// Serves one such request; the stream comes back when another may follow.
pub(super) async fn serve(
    gateway: &Gateway,
    stream: ClientStream,
    mut session: Box<ServerSession>,
) -> Option<ClientStream> {
    let mut exchange = gateway.new_ctx();
    exchange.came_by(Arc::clone(stream.connection()));
    exchange.stream = Some(stream);
    let found = match arrival::open(&mut session, &mut exchange) {
        // The guard lets CONNECT through where a forward proxy is asked, and nowhere else.
        Flow::Continue(opened) => gateway.leave(&mut session, &mut exchange, opened).await,
        Flow::Break(reply) => Ok(Found::Reply(reply)),
    };
    let reply = match found {
        Ok(Found::Done) => None,
        Ok(Found::Reply(reply)) => Some(reply),
        Ok(Found::Forward) => Some(fail(&mut exchange, "a tunnel is not forwarded")),
        Err(error) => Some(fail(&mut exchange, &error.to_string())),
    };
    let next = match reply {
        Some(reply) => refuse(&mut session, &mut exchange, reply).await,
        None => None,
    };
    outcome::record(&session, None, &mut exchange, &gateway.telemetry, gateway.worker);
    next
}

/// What an exchange ends with that should not come about.
fn fail(exchange: &mut Exchange, what: &str) -> LocalReply {
    log::error!("a tunnel fails: {what}");
    exchange.end.reason = Some(Reason::Internal);
    LocalReply::because(Reason::Internal)
}

/// Answers instead of a tunnel; the stream comes back when its client may ask for another.
async fn refuse(session: &mut ServerSession, exchange: &mut Exchange, reply: LocalReply) -> Option<ClientStream> {
    let request = session.req_header();
    let stays = persists(request.version, &request.headers) && respond::keeps(session, exchange, reply.reason);
    // Taken by a tunnel that failed afterwards, of which its client knows.
    let mut stream = exchange.stream.take()?;
    let (response, body) = respond::reply_of(session, exchange, reply).ok()?;
    let mut bytes = wire(&response, stays);
    bytes.extend_from_slice(&body);
    // For the log.
    session.write_response_header(Box::new(response)).await.ok()?;
    session.write_response_body(body, true).await.ok()?;
    if !stays {
        stream.answer_and_close(&bytes).await;
        return None;
    }
    stream.write_all(&bytes).await.ok()?;
    stream.flush().await.ok()?;
    Some(stream)
}

/// Whether the client expects its connection to stay (RFC 9112 §9.3).
fn persists(version: Version, headers: &HeaderMap) -> bool {
    let says = |option: &str| listed(headers.get_all(header::CONNECTION)).any(|it| it.eq_ignore_ascii_case(option));
    !says("close") && (version == Version::HTTP_11 || says("keep-alive"))
}

/// The head of an answer as HTTP/1.1 has it.
fn wire(response: &ResponseHeader, stays: bool) -> Vec<u8> {
    let connection = if stays { "keep-alive" } else { "close" };
    let status = response.status;
    let line = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let mut out = line.into_bytes();
    response.header_to_h1_wire(&mut out);
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date::get_cached_date().as_bytes());
    out.extend_from_slice(format!("\r\nConnection: {connection}\r\n\r\n").as_bytes());
    out
}
