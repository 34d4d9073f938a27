//! What calls of gRPC need beyond other requests: their status, and the bridge for browsers.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};

use super::exchange::Exchange;
use crate::filter::grpc_web::Bridge;
use crate::routing::route::Target;
use crate::upstream::definition::Protocol;

/// Takes a gRPC-Web call whose upstream speaks gRPC; one that speaks HTTP/1.1 gets it as it is.
pub(super) fn bridge(request: &mut RequestHeader, exchange: &mut Exchange) {
    let Some(bridge) = Bridge::of(request.headers.get(header::CONTENT_TYPE)) else { return };
    let speaks_grpc = exchange.forward().is_some_and(|(_, it)| match &it.target {
        Target::Cluster(cluster) => match cluster.definition().protocol {
            Protocol::Http2 => true,
            Protocol::Http1 | Protocol::Client | Protocol::Negotiated => false,
        },
        Target::Missing(_) | Target::Refused(_) => true,
    });
    if speaks_grpc {
        let set = request.insert_header(header::CONTENT_TYPE, bridge.grpc_type());
        // An empty call ends with a frame of its own, not with its head.
        request.set_send_end_stream(false);
        exchange.bridge = Some(bridge).filter(|_| set.is_ok());
    }
}

/// The head as the upstream of a bridged call gets it.
pub(super) fn request_head(request: &mut RequestHeader, exchange: &mut Exchange) -> Result<()> {
    let Some(bridge) = &mut exchange.bridge else { return Ok(()) };
    bridge.begin();
    if bridge.changes_length() {
        request.remove_header(&header::CONTENT_LENGTH);
    }
    request.insert_header(header::TE, "trailers")
}

/// A part of the body as the upstream of a bridged call gets it.
pub(super) fn request_body(body: &mut Option<Bytes>, ends: bool, exchange: &mut Exchange) -> Result<()> {
    let Some(bridge) = &mut exchange.bridge else { return Ok(()) };
    let part = body.take().unwrap_or_default();
    let decoded = bridge.request(&part, ends).map_err(|_| {
        let mut error = Error::explain(ErrorType::InvalidHTTPHeader, "the body of a gRPC-Web call is no base64");
        error.as_down();
        error
    })?;
    *body = (!decoded.is_empty()).then_some(decoded);
    Ok(())
}

/// The head as the client of a bridged call gets it.
pub(super) fn response_head(response: &mut ResponseHeader, exchange: &mut Exchange) -> Result<()> {
    let Some(bridge) = &exchange.bridge else { return Ok(()) };
    match bridge.web_type(response.headers.get(header::CONTENT_TYPE)) {
        Some(kind) => {
            response.insert_header(header::CONTENT_TYPE, kind)?;
            response.remove_header(&header::CONTENT_LENGTH);
        }
        // The answer of something else; its body is left alone.
        None => exchange.bridge = None,
    }
    Ok(())
}

/// A part of the body as the client of a bridged call gets it.
pub(super) fn response_body(body: &mut Option<Bytes>, exchange: &Exchange) {
    let Some(bridge) = &exchange.bridge else { return };
    *body = body.take().map(|part| bridge.response(part));
}

/// The status in trailers, or in a head that has them.
pub(super) fn status(headers: &HeaderMap) -> Option<u8> {
    headers.get("grpc-status").map(HeaderValue::as_bytes).and_then(|it| std::str::from_utf8(it).ok()?.parse().ok())
}
