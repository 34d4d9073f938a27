//! Decides whether a request is tried again (Istio's `retries`, Envoy's conditions).
//!
//! A policy says on what and how often; it knows nothing of time and chance. Whether a
//! retry is possible at all (the body can be replayed, nothing was sent to the client yet,
//! the budget admits it) is asked by the caller.

use std::time::Duration;

use http::HeaderMap;

/// Pause before the first retry when nobody says (Envoy's default).
pub const DEFAULT_BACKOFF: Duration = Duration::from_millis(25);
/// Longest pause in multiples of the shortest (Envoy's default).
const MAX_BACKOFF: u32 = 10;

/// On what a request is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions(u32);

/// One of Envoy's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Condition {
    /// Any 5xx, and no answer at all.
    ServerError = 1,
    /// 502, 503, 504.
    GatewayError = 1 << 1,
    /// No answer: not connected, reset, too late.
    Reset = 1 << 2,
    /// No answer, and nothing of the request was sent.
    ResetBeforeRequest = 1 << 3,
    /// No connection.
    ConnectFailure = 1 << 4,
    /// An answer with `x-envoy-ratelimited`.
    RateLimited = 1 << 5,
    /// 409.
    Retriable4xx = 1 << 6,
    /// HTTP/2: refused before it was looked at.
    RefusedStream = 1 << 7,
    /// One of the policy's statuses.
    Statuses = 1 << 8,
    /// gRPC status 1.
    Cancelled = 1 << 9,
    /// gRPC status 4.
    DeadlineExceeded = 1 << 10,
    /// gRPC status 13.
    Internal = 1 << 11,
    /// gRPC status 8.
    ResourceExhausted = 1 << 12,
    /// gRPC status 14.
    Unavailable = 1 << 13,
    /// Of an idempotent request: no answer. The default beyond Istio's, see [`Policy::default`].
    IdempotentReset = 1 << 14,
}

impl Conditions {
    /// With one more.
    #[must_use]
    pub const fn and(self, condition: Condition) -> Self {
        Self(self.0 | condition as u32)
    }

    /// Whether one is among them.
    pub fn has(self, condition: Condition) -> bool {
        self.0 & condition as u32 != 0
    }

    /// One more by Envoy's name; false when there is none of that name.
    pub fn add_named(&mut self, name: &str) -> bool {
        let Some((_, condition)) = NAMES.iter().find(|(it, _)| *it == name) else { return false };
        *self = self.and(*condition);
        true
    }
}

/// Envoy's names of the conditions.
const NAMES: [(&str, Condition); 14] = [
    ("5xx", Condition::ServerError),
    ("gateway-error", Condition::GatewayError),
    ("reset", Condition::Reset),
    ("reset-before-request", Condition::ResetBeforeRequest),
    ("connect-failure", Condition::ConnectFailure),
    ("envoy-ratelimited", Condition::RateLimited),
    ("retriable-4xx", Condition::Retriable4xx),
    ("refused-stream", Condition::RefusedStream),
    ("retriable-status-codes", Condition::Statuses),
    ("cancelled", Condition::Cancelled),
    ("deadline-exceeded", Condition::DeadlineExceeded),
    ("internal", Condition::Internal),
    ("resource-exhausted", Condition::ResourceExhausted),
    ("unavailable", Condition::Unavailable),
];

/// Why a try ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Connect,
    /// The connection ended; the flag says whether anything of the request was sent.
    Reset {
        /// Whether the endpoint may have begun to work on it.
        sent: bool,
    },
    /// HTTP/2: refused before it was looked at.
    Refused,
    /// Too late.
    Timeout,
    /// What came was no HTTP.
    Malformed,
}

/// When and how often a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Tries after the first.
    pub attempts: u32,
    /// On what.
    pub on: Conditions,
    /// Statuses for [`Condition::Statuses`].
    pub statuses: Box<[u16]>,
    /// Bound on one try, until its answer begins.
    pub per_try: Option<Duration>,
    /// Shortest pause between tries.
    pub backoff: Duration,
    /// Whether endpoints that were tried are avoided.
    pub avoids_tried: bool,
    /// Whether a retry goes to another priority, that is to another locality.
    pub elsewhere: bool,
}

impl Default for Policy {
    /// Istio's: two retries where nothing can have happened yet. Besides, an idempotent
    /// request is repeated when its connection ends without an answer (RFC 9110 §9.2.2).
    fn default() -> Self {
        let on = Conditions::default()
            .and(Condition::ConnectFailure)
            .and(Condition::RefusedStream)
            .and(Condition::Unavailable)
            .and(Condition::Cancelled)
            .and(Condition::Statuses)
            .and(Condition::IdempotentReset);
        Self {
            attempts: 2,
            on,
            statuses: Box::default(),
            per_try: None,
            backoff: DEFAULT_BACKOFF,
            avoids_tried: true,
            elsewhere: false,
        }
    }
}

impl Policy {
    /// No retries.
    pub fn none() -> Self {
        Self { attempts: 0, on: Conditions::default(), ..Self::default() }
    }

    /// On what, for people.
    pub fn describe(&self) -> String {
        let named = NAMES.iter().filter(|(_, it)| self.on.has(*it)).map(|(name, _)| (*name).to_owned());
        let own = self.on.has(Condition::IdempotentReset).then(|| "reset of an idempotent request".to_owned());
        let statuses = self.statuses.iter().map(u16::to_string);
        named.chain(own).chain(statuses).collect::<Vec<_>>().join(", ")
    }

    /// Whether a try that ended without an answer is repeated.
    pub fn repeats_failure(&self, failure: Failure, is_idempotent: bool) -> bool {
        let all = self.on.has(Condition::ServerError) || self.on.has(Condition::Reset);
        match failure {
            Failure::Connect => {
                all || self.on.has(Condition::GatewayError)
                    || self.on.has(Condition::ConnectFailure)
                    || self.on.has(Condition::ResetBeforeRequest)
            }
            Failure::Reset { sent } => {
                all || (!sent && self.on.has(Condition::ResetBeforeRequest))
                    || self.on.has(Condition::GatewayError)
                    || (is_idempotent && self.on.has(Condition::IdempotentReset))
            }
            Failure::Refused => all || self.on.has(Condition::RefusedStream),
            // Envoy answers a late try with 504 and nonsense with 502.
            Failure::Timeout | Failure::Malformed => all || self.on.has(Condition::GatewayError),
        }
    }

    /// Whether a try that was answered so is repeated.
    pub fn repeats_answer(&self, status: u16, headers: &HeaderMap) -> bool {
        if headers.contains_key("x-envoy-ratelimited") {
            // Envoy repeats these only when asked by name.
            return self.on.has(Condition::RateLimited);
        }
        let by_status = match status {
            502..=504 => self.on.has(Condition::GatewayError) || self.on.has(Condition::ServerError),
            500..=599 => self.on.has(Condition::ServerError),
            409 => self.on.has(Condition::Retriable4xx),
            _ => false,
        };
        by_status
            || (self.on.has(Condition::Statuses) && self.statuses.contains(&status))
            || headers.get("grpc-status").is_some_and(|it| self.repeats_grpc(it.as_bytes()))
    }

    fn repeats_grpc(&self, status: &[u8]) -> bool {
        let condition = match status {
            b"1" => Condition::Cancelled,
            b"4" => Condition::DeadlineExceeded,
            b"8" => Condition::ResourceExhausted,
            b"13" => Condition::Internal,
            b"14" => Condition::Unavailable,
            _ => return false,
        };
        self.on.has(condition)
    }

    /// The pause before a retry, the first being 1: exponential with full jitter.
    pub fn pause(&self, retry: u32, draw: u64) -> Duration {
        let factor = 2_u32.saturating_pow(retry.min(16)).saturating_sub(1).clamp(1, MAX_BACKOFF);
        let longest = u64::try_from(self.backoff.saturating_mul(factor).as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(draw % longest)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn on(names: &str) -> Policy {
        let mut on = Conditions::default();
        assert!(names.split(',').all(|it| on.add_named(it)), "{names}");
        Policy { on, statuses: [418].into(), ..Policy::default() }
    }

    #[test]
    fn answers_are_repeated_as_their_status_says() {
        for (names, repeated, passed) in [
            ("5xx", &[500_u16, 502, 503, 504, 599][..], &[200, 404, 409, 418][..]),
            ("gateway-error", &[502, 503, 504], &[500, 501]),
            ("retriable-4xx", &[409], &[400, 429, 503]),
            ("retriable-status-codes", &[418], &[503]),
            ("connect-failure,refused-stream,unavailable,cancelled", &[], &[500, 503, 418]),
        ] {
            let policy = on(names);
            for status in repeated {
                assert!(policy.repeats_answer(*status, &HeaderMap::new()), "{names} {status}");
            }
            for status in passed {
                assert!(!policy.repeats_answer(*status, &HeaderMap::new()), "{names} {status}");
            }
        }
    }

    #[test]
    fn failures_are_repeated_as_far_as_they_went() {
        let reset = |sent| Failure::Reset { sent };
        for (names, failure, expected) in [
            ("connect-failure", Failure::Connect, true),
            ("connect-failure", reset(false), false),
            ("reset-before-request", reset(false), true),
            ("reset-before-request", reset(true), false),
            ("reset", reset(true), true),
            ("reset", Failure::Timeout, true),
            ("gateway-error", Failure::Timeout, true),
            ("refused-stream", Failure::Refused, true),
            ("refused-stream", reset(true), false),
            ("retriable-4xx", Failure::Connect, false),
        ] {
            assert_eq!(on(names).repeats_failure(failure, false), expected, "{names} {failure:?}");
        }
    }

    #[test]
    fn by_default_only_what_is_safe_is_repeated() {
        let policy = Policy::default();
        assert!(policy.repeats_failure(Failure::Connect, false));
        assert!(policy.repeats_failure(Failure::Reset { sent: true }, true));
        assert!(!policy.repeats_failure(Failure::Reset { sent: true }, false));
        assert!(!policy.repeats_answer(503, &HeaderMap::new()));
        assert!(!Policy::none().repeats_failure(Failure::Connect, true));
    }

    #[test]
    fn grpc_and_rate_limited_answers_are_told_by_their_headers() {
        let with = |name: &'static str, value| {
            HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        assert!(Policy::default().repeats_answer(200, &with("grpc-status", "14")));
        assert!(!Policy::default().repeats_answer(200, &with("grpc-status", "13")));
        assert!(on("internal").repeats_answer(200, &with("grpc-status", "13")));
        assert!(!on("5xx").repeats_answer(503, &with("x-envoy-ratelimited", "true")));
        assert!(on("envoy-ratelimited").repeats_answer(429, &with("x-envoy-ratelimited", "true")));
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let policy = Policy::default();
        let longest = |retry| (0..100_000).map(|it| policy.pause(retry, it)).max().unwrap();
        assert!(longest(1) < Duration::from_millis(25));
        assert!((Duration::from_millis(50)..Duration::from_millis(75)).contains(&longest(2)));
        assert!((Duration::from_millis(99)..Duration::from_millis(250)).contains(&longest(9)));
    }
}
