//! What an HTTP rule does with a request that matches.

use schemars::JsonSchema;
use serde::Deserialize;

use super::shared::Destination;
use crate::value::{Duration, Percent, StringMatch};

/// Answers with a redirect; the query is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Redirect {
    /// Replaces the whole path.
    pub uri: String,
    /// Replaces the matched prefix; not together with `uri`.
    pub prefix_rewrite: String,
    /// Replaces the host.
    pub authority: String,
    /// Replaces the port.
    pub port: Option<u32>,
    /// Chooses the port by the scheme or the listener.
    pub derive_port: Option<DerivePort>,
    /// `http` or `https`.
    pub scheme: String,
    /// 301 (default), 302, 303, 307 or 308.
    pub redirect_code: u32,
}

/// How a redirect chooses its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DerivePort {
    /// 80 for http, 443 for https.
    FromProtocolDefault,
    /// Port of the Gateway server.
    FromRequestPort,
}

/// Answers with a fixed response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u32,
    /// Body, at most 1 MiB.
    pub body: Option<HttpBody>,
}

/// A body as text or bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpBody {
    /// As text; the content type is text/plain unless set.
    pub string: Option<String>,
    /// As base64.
    pub bytes: Option<String>,
}

/// Takes the rules of another VirtualService.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Delegate {
    /// Name of a VirtualService without hosts and gateways.
    pub name: String,
    /// Its namespace; default the root's.
    pub namespace: String,
}

/// Changes path and host before forwarding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Rewrite {
    /// Replaces the matched prefix, or the whole path of an exact or regex match.
    pub uri: String,
    /// Replaces the host.
    pub authority: String,
    /// Replaces what an expression finds in the path; not together with `uri`.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// Replaces every finding of an expression.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RegexRewrite {
    /// RE2 expression, anywhere in the path.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Replacement with `\1` for groups.
    pub rewrite: String,
}

/// When a request is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Retry {
    /// Tries after the first; 0 turns retries off.
    pub attempts: i32,
    /// Bound on each try; default the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// Conditions, comma separated: Envoy's names and status codes.
    pub retry_on: String,
    /// Whether retries may go to other localities.
    pub retry_remote_localities: Option<bool>,
    /// Whether retries avoid endpoints already tried; default true.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// Shortest pause between tries; default 25ms.
    pub backoff: Option<Duration>,
}

/// Delays and errors for testing clients.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FaultInjection {
    /// Waits before forwarding.
    pub delay: Option<Delay>,
    /// Answers with an error.
    pub abort: Option<Abort>,
}

/// Waits before forwarding.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Delay {
    /// Share in whole percent; use percentage.
    pub percent: Option<i32>,
    /// How long; at least 1ms.
    pub fixed_delay: Option<Duration>,
    /// Not supported by Istio.
    #[schemars(extend("x-support" = "inert"))]
    pub exponential_delay: Option<Duration>,
    /// Share of requests; absent is none.
    pub percentage: Option<Percent>,
}

/// Answers with an error.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Abort {
    /// 200 to 599.
    pub http_status: Option<i32>,
    /// Name of a gRPC status, as UNAVAILABLE.
    pub grpc_status: Option<String>,
    /// Not supported by Istio.
    #[schemars(extend("x-support" = "inert"))]
    pub http2_error: Option<String>,
    /// Share of requests; absent is none.
    pub percentage: Option<Percent>,
}

/// Copies requests to a destination.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MirrorPolicy {
    /// Where to.
    pub destination: Option<Destination>,
    /// Share of requests; default 100.
    pub percentage: Option<Percent>,
}

/// Which other origins' pages may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CorsPolicy {
    /// Exact origins; used only without allowOrigins.
    pub allow_origin: Vec<String>,
    /// Origins that may call; exact `*` is any.
    pub allow_origins: Vec<StringMatch>,
    /// Methods named to a preflight.
    pub allow_methods: Vec<String>,
    /// Request headers named to a preflight.
    pub allow_headers: Vec<String>,
    /// Response headers that a page may read.
    pub expose_headers: Vec<String>,
    /// How long a preflight may be cached; whole seconds.
    pub max_age: Option<Duration>,
    /// Whether credentials may be sent.
    pub allow_credentials: Option<bool>,
    /// What happens to a preflight of another origin.
    pub unmatched_preflights: Option<UnmatchedPreflights>,
}

/// What happens to a preflight of an origin that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnmatchedPreflights {
    /// FORWARD.
    Unspecified,
    /// Goes to the upstream.
    Forward,
    /// Is answered without CORS headers.
    Ignore,
}
