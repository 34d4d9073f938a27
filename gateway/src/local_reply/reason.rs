//! Why the gateway answers by itself: a closed set, with status, flag, detail and text for each member.

use super::credential_fault::CredentialFault;
use super::egress_fault::EgressFault;
use super::token_fault::TokenFault;

/// Why the gateway answered, or ended an exchange, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The head breaks HTTP's grammar or could be framed in two ways.
    MalformedHead,
    /// The head is larger, or has more fields, than the bounds.
    HeadTooLarge,
    /// The head did not arrive in time.
    HeadTimeout,
    /// A body breaks its framing.
    MalformedBody,
    /// A body stopped arriving.
    BodyTimeout,
    /// The path cannot be normalised.
    BadPath,
    /// HTTP/1.0 or older.
    OldProtocol,
    /// CONNECT on a listener that is no forward proxy.
    ConnectRefused,
    /// A token is not accepted.
    Unauthenticated(TokenFault),
    /// A key or a password is not accepted.
    NoCredential(CredentialFault),
    /// The access policies refuse it.
    Forbidden,
    /// A service that was asked refuses it.
    ExternallyDenied,
    /// A service that had to be asked did not answer.
    ExternalFailure,
    /// The body is longer than may be held to be shown.
    BodyTooLong,
    /// A rate limit refuses it.
    RateLimited,
    /// Nobody knows what its rate limits leave, and they refuse then.
    RateLimitFailure,
    /// Too many requests of its kind are in flight.
    TooManyAtOnce,
    /// A forward proxy does not reach the destination.
    Egress(EgressFault),
    /// No virtual host or no route matches.
    NoRoute,
    /// The host belongs to a server that its client has to come to by a connection of its own (RFC 9110 §15.5.20).
    Misdirected,
    /// The virtual host is for https only.
    HttpsRedirect,
    /// The route redirects.
    Redirect,
    /// The route answers by itself.
    DirectResponse,
    /// A CORS preflight.
    Preflight,
    /// The route's destination does not exist.
    NoCluster,
    /// The route has no destination that it may use (Gateway API).
    InvalidBackend,
    /// The operator injects an error.
    FaultAbort,
    /// The destination has no usable endpoint.
    NoHealthyEndpoint,
    /// The destination is asked too much at once.
    Overflow,
    /// No connection to the endpoint.
    ConnectFailure,
    /// The endpoint closed the connection before its response.
    UpstreamClosed,
    /// The endpoint answered something that is no HTTP.
    UpstreamProtocol,
    /// The exchange took longer than its route admits.
    UpstreamTimeout,
    /// The exchange took longer than its gRPC client waits.
    Deadline,
    /// The last try took longer than one may.
    TryTimeout,
    /// The client went away; nothing can be answered.
    ClientGone,
    /// A defect of the gateway.
    Internal,
}

impl Reason {
    /// Status of the response; 0 when none can be sent.
    pub fn status(self) -> u16 {
        match self {
            Self::MalformedHead | Self::MalformedBody | Self::BadPath => 400,
            Self::HeadTooLarge => 431,
            Self::HeadTimeout | Self::BodyTimeout | Self::Deadline => 408,
            Self::OldProtocol => 426,
            Self::ConnectRefused => 405,
            Self::Unauthenticated(fault) => fault.status(),
            Self::NoCredential(fault) => fault.status(),
            Self::Forbidden | Self::ExternallyDenied | Self::ExternalFailure => 403,
            Self::BodyTooLong => 413,
            Self::RateLimited => 429,
            Self::Egress(fault) => fault.status(),
            Self::NoRoute => 404,
            Self::Misdirected => 421,
            Self::HttpsRedirect | Self::Redirect => 301,
            Self::DirectResponse | Self::Preflight => 200,
            Self::NoCluster
            | Self::RateLimitFailure
            | Self::TooManyAtOnce
            | Self::FaultAbort
            | Self::NoHealthyEndpoint
            | Self::Overflow
            | Self::ConnectFailure
            | Self::UpstreamClosed => 503,
            Self::UpstreamProtocol => 502,
            Self::UpstreamTimeout | Self::TryTimeout => 504,
            Self::ClientGone => 0,
            Self::InvalidBackend | Self::Internal => 500,
        }
    }

    /// Envoy's response flag, `-` when there is none.
    pub fn flag(self) -> &'static str {
        match self {
            Self::MalformedHead | Self::HeadTooLarge | Self::MalformedBody | Self::OldProtocol => "DPE",
            Self::HeadTimeout | Self::BodyTimeout => "SI",
            Self::NoRoute | Self::Misdirected => "NR",
            Self::NoCluster | Self::InvalidBackend => "NC",
            Self::FaultAbort => "FI",
            Self::NoHealthyEndpoint => "UH",
            Self::Overflow => "UO",
            Self::ConnectFailure => "UF",
            Self::UpstreamClosed => "UC",
            Self::UpstreamProtocol => "UPE",
            Self::UpstreamTimeout | Self::TryTimeout => "UT",
            Self::Deadline => "UMSDR",
            Self::ExternallyDenied | Self::ExternalFailure => "UAEX",
            Self::RateLimited | Self::TooManyAtOnce => "RL",
            Self::RateLimitFailure => "RLSE",
            Self::Egress(_) => "-",
            Self::ClientGone => "DC",
            Self::BadPath
            | Self::Unauthenticated(_)
            | Self::NoCredential(_)
            | Self::Forbidden
            | Self::BodyTooLong
            | Self::ConnectRefused
            | Self::HttpsRedirect
            | Self::Redirect
            | Self::DirectResponse
            | Self::Preflight
            | Self::Internal => "-",
        }
    }

    /// Envoy's response code detail.
    pub fn details(self) -> &'static str {
        match self {
            Self::MalformedHead => "http1.codec_error",
            Self::HeadTooLarge => "http1.headers_too_large",
            Self::HeadTimeout => "request_header_timeout",
            Self::MalformedBody => "http1.body_disallowed",
            Self::BodyTimeout => "stream_idle_timeout",
            Self::BadPath => "path_normalization_failed",
            Self::OldProtocol => "low_version",
            Self::ConnectRefused => "connect_refused",
            Self::Egress(fault) => fault.name(),
            Self::NoRoute => "route_not_found",
            Self::Misdirected => "misdirected_request",
            Self::Unauthenticated(fault) => fault.details(),
            Self::NoCredential(fault) => fault.details(),
            Self::Forbidden => "rbac_access_denied_matched_policy[none]",
            Self::ExternallyDenied => "ext_authz_denied",
            Self::ExternalFailure => "ext_authz_error",
            Self::BodyTooLong => "request_payload_too_large",
            Self::RateLimited => "request_rate_limited",
            Self::RateLimitFailure => "rate_limiter_error",
            Self::TooManyAtOnce => "concurrency_limited",
            Self::HttpsRedirect | Self::Redirect | Self::DirectResponse => "direct_response",
            Self::Preflight => "cors_preflight",
            Self::NoCluster => "cluster_not_found",
            Self::InvalidBackend => "invalid_backend",
            Self::FaultAbort => "fault_filter_abort",
            Self::NoHealthyEndpoint => "no_healthy_upstream",
            Self::Overflow => "upstream_reset_before_response_started{overflow}",
            Self::ConnectFailure => "upstream_reset_before_response_started{connection_failure}",
            Self::UpstreamClosed => "upstream_reset_before_response_started{connection_termination}",
            Self::UpstreamProtocol => "upstream_reset_before_response_started{protocol_error}",
            Self::UpstreamTimeout => "response_timeout",
            Self::TryTimeout => "upstream_per_try_timeout",
            Self::Deadline => "upstream_max_stream_duration_reached",
            Self::ClientGone => "downstream_remote_disconnect",
            Self::Internal => "internal_error",
        }
    }

    /// Envoy's text for the client.
    pub fn text(self) -> &'static str {
        match self {
            Self::FaultAbort => "fault filter abort",
            Self::Unauthenticated(fault) => fault.text(),
            Self::NoCredential(fault) => fault.text(),
            Self::Forbidden => "RBAC: access denied",
            Self::Egress(fault) => fault.name(),
            Self::BodyTooLong => "Payload Too Large",
            Self::RateLimited => "rate limit exceeded",
            Self::TooManyAtOnce => "too many requests at once",
            Self::RateLimitFailure => "rate limits cannot be checked",
            Self::NoHealthyEndpoint => "no healthy upstream",
            Self::Overflow => "upstream connect error or disconnect/reset before headers. reset reason: overflow",
            Self::ConnectFailure => {
                "upstream connect error or disconnect/reset before headers. reset reason: connection failure"
            }
            Self::UpstreamClosed => {
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
            }
            Self::UpstreamProtocol => {
                "upstream connect error or disconnect/reset before headers. reset reason: protocol error"
            }
            Self::UpstreamTimeout | Self::TryTimeout => "upstream request timeout",
            Self::Deadline => "upstream max stream duration reached",
            Self::HeadTimeout => "request header timeout",
            Self::BodyTimeout => "stream timeout",
            Self::MalformedHead
            | Self::HeadTooLarge
            | Self::MalformedBody
            | Self::BadPath
            | Self::OldProtocol
            | Self::ExternallyDenied
            | Self::ExternalFailure
            | Self::ConnectRefused
            | Self::NoRoute
            | Self::Misdirected
            | Self::HttpsRedirect
            | Self::Redirect
            | Self::DirectResponse
            | Self::Preflight
            | Self::NoCluster
            | Self::InvalidBackend
            | Self::ClientGone
            | Self::Internal => "",
        }
    }

    /// Whether the connection can carry another request after this answer.
    pub fn keeps_connection(self) -> bool {
        match self {
            Self::NoRoute
            | Self::Egress(_)
            | Self::Unauthenticated(_)
            | Self::NoCredential(_)
            | Self::Forbidden
            | Self::RateLimited
            | Self::RateLimitFailure
            | Self::TooManyAtOnce
            | Self::ExternallyDenied
            | Self::ExternalFailure
            | Self::Misdirected
            | Self::HttpsRedirect
            | Self::Redirect
            | Self::DirectResponse
            | Self::Preflight
            | Self::FaultAbort
            | Self::NoCluster
            | Self::InvalidBackend
            | Self::NoHealthyEndpoint
            | Self::Overflow
            | Self::ConnectFailure => true,
            Self::MalformedHead
            | Self::HeadTooLarge
            | Self::HeadTimeout
            | Self::MalformedBody
            | Self::BodyTooLong
            | Self::BodyTimeout
            | Self::BadPath
            | Self::OldProtocol
            | Self::ConnectRefused
            | Self::UpstreamClosed
            | Self::UpstreamProtocol
            | Self::UpstreamTimeout
            | Self::TryTimeout
            | Self::Deadline
            | Self::ClientGone
            | Self::Internal => false,
        }
    }
}
