//! Delays and aborts that an operator injects to test clients (Istio's `fault`).
//!
//! Shares are counted in parts of a million, as Istio's four decimals need. A delay comes
//! before the request is forwarded and is no part of the route's timeout; an aborted request
//! is answered here. Both are drawn apart, so a request may be delayed and then aborted.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::local_reply::{Flow, LocalReply, Reason};

/// The whole, of which a share counts parts.
pub const WHOLE: u32 = 1_000_000;

/// A share of requests, in parts of [`WHOLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(pub u32);

impl Share {
    /// Whether a request with this random number belongs to it.
    pub fn takes(self, draw: u32) -> bool {
        // Multiplied, not divided: every part is hit alike.
        (u64::from(draw) * u64::from(WHOLE)) >> 32 < u64::from(self.0)
    }
}

/// What is injected on a route.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Requests that wait, and how long.
    pub delay: Option<(Share, Duration)>,
    /// Requests that are answered.
    pub abort: Option<(Share, Abort)>,
}

/// The answer of an aborted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// A status of HTTP.
    Http(StatusCode),
    /// A status of gRPC, in gRPC's form whatever the request is.
    Grpc(u8),
}

impl Fault {
    /// How long a request waits; `draw` is a random number.
    pub fn delay(&self, draw: u32) -> Option<Duration> {
        self.delay.filter(|(share, _)| share.takes(draw)).map(|(_, time)| time)
    }

    /// Answers an aborted request; others go on.
    pub fn abort(&self, draw: u32) -> Flow {
        match self.abort.filter(|(share, _)| share.takes(draw)) {
            Some((_, abort)) => Flow::Break(abort.reply()),
            None => Flow::Continue(()),
        }
    }
}

impl Abort {
    fn reply(self) -> LocalReply {
        let mut reply = LocalReply::because(Reason::FaultAbort);
        match self {
            Self::Http(status) => reply.status = status,
            Self::Grpc(status) => {
                reply.status = StatusCode::OK;
                reply.body = Bytes::new();
                reply.headers = vec![
                    (http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
                    (HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(status))),
                    (HeaderName::from_static("grpc-message"), HeaderValue::from_static("fault filter abort")),
                ];
            }
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(share: u32) -> usize {
        // Evenly spread over all numbers.
        (0..1_000_000_u64).filter(|it| Share(share).takes(u32::try_from(it * 4294).unwrap())).count()
    }

    #[test]
    fn shares_are_exact_to_four_decimals() {
        for share in [0, 1, 100, 500_000, 999_999, WHOLE] {
            assert!(
                hits(share).abs_diff(share as usize) <= 200 * usize::from(share != 0 && share != WHOLE),
                "{share}: {}",
                hits(share)
            );
        }
    }

    #[test]
    fn delay_and_abort_are_drawn_apart() {
        let half = Share(WHOLE / 2);
        let fault = Fault {
            delay: Some((half, Duration::from_secs(1))),
            abort: Some((half, Abort::Http(StatusCode::IM_A_TEAPOT))),
        };
        assert_eq!(fault.delay(0), Some(Duration::from_secs(1)));
        assert_eq!(fault.delay(u32::MAX), None);
        let Flow::Break(reply) = fault.abort(0) else { panic!("not aborted") };
        assert_eq!((reply.status.as_u16(), reply.body.as_ref()), (418, &b"fault filter abort"[..]));
        assert!(fault.abort(u32::MAX).is_continue());
    }

    #[test]
    fn a_grpc_abort_has_grpcs_form() {
        let reply = Abort::Grpc(14).reply();
        assert_eq!(reply.status, StatusCode::OK);
        assert!(reply.headers.iter().any(|(name, value)| name == "grpc-status" && value == "14"));
    }
}
