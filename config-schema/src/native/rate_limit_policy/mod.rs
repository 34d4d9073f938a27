//! RateLimitPolicy: how many requests a key may make, in all replicas together.

mod request;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::request::{ClientAddressKey, IfMissing, KeyPart, NamedKey, PlainKey, RequestMatch, SourceKey};
use crate::istio::shared::LabelSelector;
use crate::value::Duration;

/// Most limits of one rule.
pub const MAX_LIMITS: usize = 8;
/// Most parts of one key.
pub const MAX_KEY_PARTS: usize = 8;

/// Limits for requests; several policies add up. A request that one limit refuses uses up none of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RateLimitPolicy {
    /// Workloads; not together with targetRefs. Applies to every request, also to those that no route takes.
    pub selector: Option<LabelSelector>,
    /// Resources it attaches to; without any, and without selector, every gateway of the namespace.
    pub target_refs: Vec<RateLimitTarget>,
    /// When it is asked; default AfterAuthentication.
    pub stage: Option<Stage>,
    /// Whether it refuses; default Enforce.
    pub mode: Option<Mode>,
    /// What happens while the store does not answer; default Local.
    pub on_store_failure: Option<OnStoreFailure>,
    /// How exact it is across replicas; default Strict.
    pub consistency: Option<Consistency>,
    /// Who may ask how often.
    pub rules: Vec<RateLimitRule>,
    /// Who may ask how much at once, in each replica.
    pub concurrency: Vec<ConcurrencyRule>,
    /// What refused clients get.
    pub response: RateLimitResponse,
    /// Headers that tell clients what is left; default Draft (`RateLimit-Policy` and `RateLimit`).
    pub headers: Option<RateLimitHeaders>,
}

/// A resource that a policy attaches to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RateLimitTarget {
    /// `networking.istio.io`, or `gateway.networking.k8s.io` for its Gateway and HTTPRoute.
    pub group: String,
    /// `Gateway`, `VirtualService` or, of the Gateway API, `HTTPRoute`.
    pub kind: String,
    /// Name in the policy's namespace.
    pub name: String,
    /// Name of an http route of the VirtualService, or of a rule of the HTTPRoute.
    pub section_name: String,
}

/// When a policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Stage {
    /// Before credentials are looked at; keys cannot name who asks.
    BeforeAuthentication,
    /// Behind tokens and access policies.
    AfterAuthentication,
}

/// Whether a policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Mode {
    /// It does.
    Enforce,
    /// It counts what it would refuse.
    Shadow,
}

/// What happens while the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum OnStoreFailure {
    /// Requests pass.
    Allow,
    /// Requests are refused (503).
    Deny,
    /// Each replica limits by itself, in memory.
    Local,
}

/// How exact limits are across replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Consistency {
    /// Default Strict.
    #[serde(rename = "type")]
    pub kind: Option<ConsistencyType>,
    /// Leased: units that a replica takes at a time; replicas × share is the most that is admitted too early.
    pub share: u32,
    /// Leased: how long units may be kept; default 1s.
    pub max_age: Option<Duration>,
}

/// Whether every request is counted at the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ConsistencyType {
    /// Each is: exactly the limit is admitted.
    Strict,
    /// Replicas take units ahead of need and decide by themselves.
    Leased,
}

/// Limits of the requests of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RateLimitRule {
    /// Name in metrics, headers and keys; unique in the policy.
    pub name: String,
    /// Requests it is for; one must hold. Empty is for all.
    #[serde(rename = "match")]
    pub matches: Vec<RequestMatch>,
    /// What requests are told apart by; empty counts all together.
    pub key: Vec<KeyPart>,
    /// Windows, which must all admit a request; at most 8.
    pub limits: Vec<RateLimit>,
    /// Units that a request takes; default 1.
    pub cost: Option<Cost>,
    /// Requests that are not limited.
    pub exempt: Vec<RequestMatch>,
}

/// One window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RateLimit {
    /// Units that come back in each period; they come back evenly.
    pub requests: u64,
    /// The period, 1s to 720h.
    pub per: Option<Duration>,
    /// Most units at once; default `requests`.
    pub burst: Option<u64>,
}

/// A bound on requests at once, for each key and in each replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConcurrencyRule {
    /// Name in metrics; unique in the policy.
    pub name: String,
    /// Requests it is for; one must hold. Empty is for all.
    #[serde(rename = "match")]
    pub matches: Vec<RequestMatch>,
    /// What requests are told apart by; empty counts all together.
    pub key: Vec<KeyPart>,
    /// Most requests in flight.
    pub requests: u32,
    /// Status of a refusal: 503 (the default) or 429.
    pub status: u32,
}

/// Units that a request takes: a number, or where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Cost {
    /// Always so many.
    Fixed(u32),
    /// As somebody says.
    Told(CostSource),
}

/// Who says what a request costs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CostSource {
    /// A header of the request; one that is no number counts as `default`.
    pub request_header: String,
    /// A header of the response, whose number is taken afterwards, besides `default`.
    pub response_header: String,
    /// Units taken when the request comes and no header says more; default 1.
    pub default: Option<u32>,
}

/// What refused clients get.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RateLimitResponse {
    /// Status; default 429.
    pub status: u32,
    /// Body; default a short text, or `application/problem+json` (RFC 9457) where the client accepts JSON.
    pub body: Option<String>,
    /// More headers.
    pub headers: BTreeMap<String, String>,
    /// Status of gRPC calls; default RESOURCE_EXHAUSTED.
    pub grpc_status: Option<GrpcRefusal>,
}

/// Status of gRPC calls that are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GrpcRefusal {
    /// 8, which says what it is.
    ResourceExhausted,
    /// 14, as Envoy answers.
    Unavailable,
}

/// Headers that tell clients what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum RateLimitHeaders {
    /// `RateLimit-Policy` and `RateLimit`, structured fields (draft-ietf-httpapi-ratelimit-headers).
    Draft,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`, as Envoy writes them (draft 3).
    XRateLimit,
    /// `RateLimit-Limit`, `-Remaining` and `-Reset` (draft 6).
    Split,
    /// None.
    Off,
}
