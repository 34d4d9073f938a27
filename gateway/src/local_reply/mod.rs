//! Every response the gateway writes in its own name, and why.
//!
//! A refusal is a value: whoever refuses returns a [`LocalReply`] with a [`Reason`], and the
//! tables below give it status, response flag, detail and text. They are Envoy's where
//! Envoy has the case, since dashboards and scripts match on them.

mod reason;
pub mod credential_fault;
pub mod egress_fault;
pub mod token_fault;

use std::ops::ControlFlow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

pub use reason::Reason;

const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");

/// Whether a request goes on, or is answered here.
///
/// A refusal is an ordinary outcome, not an error, and `?` passes it up.
pub type Flow<T = ()> = ControlFlow<LocalReply, T>;

/// Name in the `server` header.
pub const SERVER: HeaderValue = HeaderValue::from_static("sluice");

/// gRPC's status for a deadline that passed.
const DEADLINE_EXCEEDED: u8 = 4;

/// The gRPC status of a reply: the reason's own, else the one that stands for its HTTP status, as Envoy maps them.
pub fn grpc_status(reason: Reason, status: StatusCode) -> u8 {
    if reason == Reason::Deadline {
        return DEADLINE_EXCEEDED;
    }
    match status.as_u16() {
        200 => 0,
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// One response of the gateway's own.
#[derive(Debug, Clone)]
pub struct LocalReply {
    /// Why.
    pub reason: Reason,
    /// Status; the reason's, unless the operator chose another.
    pub status: StatusCode,
    /// Headers besides `server`, `date`, `content-length` and `content-type`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    pub body: Bytes,
}

impl LocalReply {
    /// The usual answer for a reason.
    pub fn because(reason: Reason) -> Self {
        let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Envoy's mark for clients that shall back off.
        let marks = (reason == Reason::Overflow).then(|| (OVERLOADED, HeaderValue::from_static("true")));
        Self {
            reason,
            status,
            headers: marks.into_iter().collect(),
            body: Bytes::from_static(reason.text().as_bytes()),
        }
    }

    /// The bytes of an answer on an HTTP/1.1 connection that is closed after it.
    pub fn render_and_close(&self) -> Vec<u8> {
        let phrase = self.status.canonical_reason().unwrap_or_default();
        let mut out = format!(
            "HTTP/1.1 {} {phrase}\r\nserver: sluice\r\ncontent-length: {}\r\nconnection: close\r\n",
            self.status.as_u16(),
            self.body.len()
        );
        if !self.body.is_empty() {
            out.push_str("content-type: text/plain\r\n");
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }
}
