//! Conditions of an HTTP rule.

use std::collections::BTreeMap;

use litemap::LiteMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::value::StringMatch;

/// Conditions that must all hold; empty matches every request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpMatch {
    /// Name, appended to the rule's name in logs.
    pub name: String,
    /// Path without query, normalised; `prefix` is a plain string prefix.
    pub uri: Option<Box<StringMatch>>,
    /// `http` or `https`, as the client came.
    pub scheme: Option<Box<StringMatch>>,
    /// Method, case-sensitive.
    pub method: Option<Box<StringMatch>>,
    /// Host with port as the client sent it, case-sensitive.
    pub authority: Option<Box<StringMatch>>,
    /// Headers; several values of one are joined with a comma. `{}` asks for presence.
    #[schemars(with = "BTreeMap<String, Option<StringMatch>>")]
    pub headers: LiteMap<String, Option<StringMatch>>,
    /// Port of the Gateway server.
    pub port: u32,
    /// Labels compared with the gateway's own, not the client's.
    pub source_labels: BTreeMap<String, String>,
    /// Gateways it is for; default those of the VirtualService.
    pub gateways: Vec<String>,
    /// Query parameters, first value, as sent. `{}` asks for presence.
    #[schemars(with = "BTreeMap<String, StringMatch>")]
    pub query_params: LiteMap<String, StringMatch>,
    /// Compares exact and prefix paths without case.
    pub ignore_uri_case: bool,
    /// Headers that must not match; an absent header satisfies it.
    #[schemars(with = "BTreeMap<String, Option<StringMatch>>")]
    pub without_headers: LiteMap<String, Option<StringMatch>>,
    /// Namespace compared with the gateway's own.
    pub source_namespace: String,
    /// Name for the route's own metrics, `sluice_route_requests_total` and its duration.
    pub stat_prefix: String,
}
