//! Which requests a rate limit is for, and what it tells them apart by.

use std::collections::BTreeMap;

use litemap::LiteMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::value::StringMatch;

/// Conditions of a request that must all hold; empty holds for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RequestMatch {
    /// Path without query, normalised.
    pub uri: Option<Box<StringMatch>>,
    /// `http` or `https`, as the client came.
    pub scheme: Option<Box<StringMatch>>,
    /// Method, case-sensitive.
    pub method: Option<Box<StringMatch>>,
    /// Host with port as the client sent it, case-sensitive.
    pub authority: Option<Box<StringMatch>>,
    /// Headers; `@request.auth.claims.<name>` is a claim. `{}` asks for presence.
    #[schemars(with = "BTreeMap<String, Option<StringMatch>>")]
    pub headers: LiteMap<String, Option<StringMatch>>,
    /// Headers that must not match; an absent header satisfies it.
    #[schemars(with = "BTreeMap<String, Option<StringMatch>>")]
    pub without_headers: LiteMap<String, Option<StringMatch>>,
    /// Query parameters, first value, as sent.
    #[schemars(with = "BTreeMap<String, StringMatch>")]
    pub query_params: LiteMap<String, StringMatch>,
    /// Compares exact and prefix paths without case.
    pub ignore_uri_case: bool,
    /// Port of the Gateway server.
    pub port: u32,
    /// Identities of client certificates, as in an AuthorizationPolicy.
    pub principals: Vec<String>,
    /// Who asks by token, key or password: `issuer/subject`, `apikey/client`, `basic/user`.
    pub request_principals: Vec<String>,
    /// Networks of clients.
    pub client_addresses: Vec<String>,
}

/// A part of a key; exactly one of the sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KeyPart {
    /// The client's network.
    pub client_address: Option<ClientAddressKey>,
    /// A header.
    pub header: Option<NamedKey>,
    /// A cookie.
    pub cookie: Option<NamedKey>,
    /// A query parameter.
    pub query: Option<NamedKey>,
    /// A claim of the token; names inside objects are joined with dots.
    pub claim: Option<NamedKey>,
    /// The client of an API key.
    pub api_key_client: Option<SourceKey>,
    /// The identity of the client certificate.
    pub client_certificate: Option<SourceKey>,
    /// The normalised path.
    pub path: Option<PlainKey>,
    /// The method.
    pub method: Option<PlainKey>,
    /// The host.
    pub host: Option<PlainKey>,
    /// Always this text.
    pub constant: Option<String>,
}

/// The client's network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClientAddressKey {
    /// Bits of an IPv4 address that count; default 32.
    pub ipv4_prefix: Option<u32>,
    /// Bits of an IPv6 address that count; default 64.
    pub ipv6_prefix: Option<u32>,
}

/// Something with a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NamedKey {
    /// The name.
    pub name: String,
    /// What happens when it is missing; absent skips the rule.
    pub if_missing: Option<IfMissing>,
}

/// Something that may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SourceKey {
    /// What happens when it is missing; absent skips the rule.
    pub if_missing: Option<IfMissing>,
}

/// Something that every request has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PlainKey {}

/// What stands for a missing part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct IfMissing {
    /// Counts all requests without it together, under this text.
    pub value: String,
}
