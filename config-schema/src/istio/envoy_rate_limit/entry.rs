//! What makes the descriptors of a request (`config.route.v3.RateLimit`).

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// One thing that is asked about a request (`config.route.v3.RateLimit`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteRateLimit {
    /// Asked by filters of this stage.
    pub stage: u32,
    /// Key of Envoy's runtime; no effect.
    pub disable_key: String,
    /// Each makes an entry of the descriptor; one that makes none drops it.
    pub actions: Vec<Action>,
    /// Limit that stands over the service's; not read.
    pub limit: Option<Value>,
}

/// What makes an entry of a descriptor; exactly one.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Action {
    /// The gateway's own name.
    pub source_cluster: Option<Empty>,
    /// The cluster of the route.
    pub destination_cluster: Option<Empty>,
    /// A header.
    pub request_headers: Option<RequestHeaders>,
    /// A query parameter.
    pub query_parameters: Option<QueryParameters>,
    /// The client's address.
    pub remote_address: Option<Empty>,
    /// The client's network.
    pub masked_remote_address: Option<Masked>,
    /// A constant.
    pub generic_key: Option<GenericKey>,
    /// A constant, where headers match.
    pub header_value_match: Option<HeaderValueMatch>,
    /// A constant, where query parameters match.
    pub query_parameter_value_match: Option<Value>,
    /// What another filter said; there is none.
    pub dynamic_metadata: Option<Value>,
    /// The same.
    pub metadata: Option<Value>,
    /// An extension; there is none.
    pub extension: Option<Value>,
}

/// Nothing more to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Empty {}

/// A header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RequestHeaders {
    /// Its name, or `:path` (with query), `:method`, `:authority`, `:scheme`.
    pub header_name: String,
    /// Key of the entry.
    pub descriptor_key: String,
    /// Leaves the entry out when the header is missing, instead of the descriptor.
    pub skip_if_absent: bool,
}

/// A query parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueryParameters {
    /// Its name.
    pub query_parameter_name: String,
    /// Key of the entry.
    pub descriptor_key: String,
    /// Leaves the entry out when the parameter is missing, instead of the descriptor.
    pub skip_if_absent: bool,
}

/// The client's network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Masked {
    /// Bits of an IPv4 address; default 32.
    pub v4_prefix_mask_len: Option<u8>,
    /// Bits of an IPv6 address; default 128.
    pub v6_prefix_mask_len: Option<u8>,
}

/// A constant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GenericKey {
    /// The value.
    pub descriptor_value: String,
    /// Key of the entry; default `generic_key`.
    pub descriptor_key: String,
}

/// A constant, where headers match.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderValueMatch {
    /// Key of the entry; default `header_match`.
    pub descriptor_key: String,
    /// The value.
    pub descriptor_value: String,
    /// Whether they must match, which is the default, or must not.
    pub expect_match: Option<bool>,
    /// All of these.
    pub headers: Vec<HeaderMatcher>,
}

/// What a header must be; exactly one of the tests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderMatcher {
    /// Its name.
    pub name: String,
    /// It is this.
    pub exact_match: Option<String>,
    /// It begins so.
    pub prefix_match: Option<String>,
    /// It ends so.
    pub suffix_match: Option<String>,
    /// It holds this.
    pub contains_match: Option<String>,
    /// It matches as a whole.
    pub safe_regex_match: Option<SafeRegex>,
    /// It is there, or is not.
    pub present_match: Option<bool>,
    /// The newer form of the tests above.
    pub string_match: Option<EnvoyStringMatch>,
    /// Whether the test must fail.
    pub invert_match: bool,
}

/// An expression.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SafeRegex {
    /// Options of an engine that is not used here.
    pub google_re2: Option<Value>,
    /// RE2 syntax, matching as a whole.
    pub regex: String,
}

/// What a text must be; exactly one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EnvoyStringMatch {
    /// It is this.
    pub exact: Option<String>,
    /// It begins so.
    pub prefix: Option<String>,
    /// It ends so.
    pub suffix: Option<String>,
    /// It holds this.
    pub contains: Option<String>,
    /// It matches as a whole.
    pub safe_regex: Option<SafeRegex>,
    /// Without case.
    pub ignore_case: bool,
}
