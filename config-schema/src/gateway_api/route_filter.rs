//! What a rule of an HTTPRoute does to requests and responses.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::http_route::BackendRef;

/// One change; the field that `type` names is set, and no other.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteFilter {
    /// Which.
    #[serde(rename = "type")]
    pub kind: Option<RouteFilterKind>,
    /// Changes headers of requests.
    pub request_header_modifier: Option<HeaderModifier>,
    /// Changes headers of responses.
    pub response_header_modifier: Option<HeaderModifier>,
    /// Sends the client elsewhere.
    pub request_redirect: Option<RequestRedirect>,
    /// Changes host and path on the way to the backend.
    pub url_rewrite: Option<UrlRewrite>,
    /// Sends a copy elsewhere.
    pub request_mirror: Option<Box<RequestMirror>>,
    /// Not offered; use `corsPolicy` of a VirtualService.
    pub cors: Option<Value>,
    /// Not offered; use an AuthorizationPolicy with action CUSTOM.
    pub external_auth: Option<Value>,
    /// A filter of somebody else's, which is not known here: requests of the rule are answered with 500.
    pub extension_ref: Option<Value>,
}

/// The kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
pub enum RouteFilterKind {
    /// Headers of requests.
    RequestHeaderModifier,
    /// Headers of responses.
    ResponseHeaderModifier,
    /// A redirect.
    RequestRedirect,
    /// Host and path.
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
    /// A copy.
    RequestMirror,
    /// Not offered.
    #[serde(rename = "CORS")]
    Cors,
    /// Not offered.
    ExternalAuth,
    /// Somebody else's.
    ExtensionRef,
}

impl RouteFilterKind {
    /// Its name, as in `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestHeaderModifier => "RequestHeaderModifier",
            Self::ResponseHeaderModifier => "ResponseHeaderModifier",
            Self::RequestRedirect => "RequestRedirect",
            Self::UrlRewrite => "URLRewrite",
            Self::RequestMirror => "RequestMirror",
            Self::Cors => "CORS",
            Self::ExternalAuth => "ExternalAuth",
            Self::ExtensionRef => "ExtensionRef",
        }
    }
}

/// Changes to headers; values are taken as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HeaderModifier {
    /// Replaces all values of a header.
    pub set: Vec<HttpHeader>,
    /// Appends a value to a header.
    pub add: Vec<HttpHeader>,
    /// Removes a header.
    pub remove: Vec<String>,
}

/// A header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpHeader {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// Where the client is sent; what is absent stays as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RequestRedirect {
    /// `http` or `https`.
    pub scheme: String,
    /// Host.
    pub hostname: String,
    /// Path.
    pub path: Option<PathModifier>,
    /// Port; default that of the scheme if one is given, else that of the listener.
    pub port: Option<u32>,
    /// 301, 302, 303, 307 or 308; default 302.
    pub status_code: Option<u32>,
}

/// What host and path become.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct UrlRewrite {
    /// Host.
    pub hostname: String,
    /// Path.
    pub path: Option<PathModifier>,
}

/// What a path becomes; the field that `type` names is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PathModifier {
    /// Which.
    #[serde(rename = "type")]
    pub kind: Option<PathModifierKind>,
    /// The whole path.
    pub replace_full_path: Option<String>,
    /// What stands for the prefix that was matched, by whole segments.
    pub replace_prefix_match: Option<String>,
}

/// The kinds of changes to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum PathModifierKind {
    /// The whole path.
    ReplaceFullPath,
    /// The prefix that was matched.
    ReplacePrefixMatch,
}

/// Who gets a copy.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RequestMirror {
    /// Where to; a backend that may not be used gets none.
    pub backend_ref: BackendRef,
    /// Share of the requests in percent; default all.
    pub percent: Option<u32>,
    /// Share of the requests.
    pub fraction: Option<Fraction>,
}

/// A share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Fraction {
    /// So many …
    pub numerator: u32,
    /// … of so many; default 100.
    pub denominator: u32,
}

impl Default for Fraction {
    fn default() -> Self {
        Self { numerator: 0, denominator: 100 }
    }
}
