//! HTTPRoute: which requests of a listener go where.
//!
//! Unlike in a VirtualService, the order of rules does not count: of several that match, the
//! one with the most specific host wins, then path, method, number of headers and of query
//! parameters, then the oldest route.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::GROUP;
use super::reference_grant::Reference;
use super::route_filter::RouteFilter;
use crate::value::Duration;

/// Rules for requests of the Gateways that it attaches to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpRoute {
    /// Gateways, or single listeners of them, that it attaches to.
    pub parent_refs: Vec<ParentRef>,
    /// Hosts, with a wildcard only as first label; none is every host of the listener.
    pub hostnames: Vec<String>,
    /// Rules; without any, every request is answered with 500.
    pub rules: Vec<HttpRouteRule>,
}

/// A Gateway, or one of its listeners.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ParentRef {
    /// Group; default the Gateway API's.
    pub group: String,
    /// Kind; default Gateway. Others are left to others.
    pub kind: String,
    /// Namespace; default the route's.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Name of a listener; empty is each that takes the route.
    pub section_name: String,
    /// Port of listeners; absent is any.
    pub port: Option<u32>,
}

impl Default for ParentRef {
    fn default() -> Self {
        Self {
            group: GROUP.to_owned(),
            kind: "Gateway".to_owned(),
            namespace: String::new(),
            name: String::new(),
            section_name: String::new(),
            port: None,
        }
    }
}

/// What happens to requests that match.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpRouteRule {
    /// Name, for logs.
    pub name: String,
    /// Requests; one match that holds is enough, and none is every request.
    pub matches: Vec<HttpRouteMatch>,
    /// What is done to them.
    pub filters: Vec<RouteFilter>,
    /// Where they go, by weight. Without any, or with none that may be used, the answer is 500.
    pub backend_refs: Vec<BackendRef>,
    /// Bounds in time.
    pub timeouts: Option<Timeouts>,
    /// When a request is tried again; default as for VirtualServices.
    pub retry: Option<RouteRetry>,
    /// Keeps clients on their endpoint.
    #[schemars(extend("x-support" = "later"))]
    pub session_persistence: Option<Value>,
}

/// What a request must be; all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpRouteMatch {
    /// Its path; default every path.
    pub path: Option<PathMatch>,
    /// Its headers; of two entries for one name the first counts.
    pub headers: Vec<NamedMatch>,
    /// Its query parameters; of two entries for one name the first counts.
    pub query_params: Vec<NamedMatch>,
    /// Its method.
    pub method: String,
}

/// What a path must be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PathMatch {
    /// How the value is meant; default PathPrefix.
    #[serde(rename = "type")]
    pub kind: PathMatchKind,
    /// A path, or an expression.
    pub value: String,
}

impl Default for PathMatch {
    fn default() -> Self {
        Self { kind: PathMatchKind::PathPrefix, value: "/".to_owned() }
    }
}

impl PathMatch {
    /// The prefix that is meant, without a slash at its end; absent when another kind is.
    pub fn prefix(&self) -> Option<&str> {
        (self.kind == PathMatchKind::PathPrefix).then(|| self.value.trim_end_matches('/'))
    }
}

/// How a path is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum PathMatchKind {
    /// It is the value.
    Exact,
    /// It is the value or below it, by whole segments: `/a` is above `/a/b`, not above `/ab`.
    PathPrefix,
    /// The expression matches it as a whole (RE2).
    RegularExpression,
}

/// What a header or a query parameter must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NamedMatch {
    /// How the value is meant; default Exact.
    #[serde(rename = "type")]
    pub kind: NamedMatchKind,
    /// Name.
    pub name: String,
    /// A value, or an expression.
    pub value: String,
}

/// How a header or a query parameter is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum NamedMatchKind {
    /// It is the value.
    #[default]
    Exact,
    /// The expression matches it as a whole (RE2).
    RegularExpression,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BackendRef {
    /// Group; the core group, which is empty, or `networking.istio.io`.
    pub group: String,
    /// Service, or Istio's Hostname: the host of a ServiceEntry. The share of any other is answered with 500.
    pub kind: String,
    /// Name of the Service, or the host.
    pub name: String,
    /// Namespace; default the route's. Another needs a ReferenceGrant there, else its share is answered with 500.
    pub namespace: String,
    /// Port of the Service.
    pub port: Option<u32>,
    /// Share in proportion to the sum; default 1.
    pub weight: u32,
    /// What is done to requests that go here: RequestHeaderModifier and ResponseHeaderModifier.
    pub filters: Vec<RouteFilter>,
}

impl Default for BackendRef {
    fn default() -> Self {
        Self {
            group: String::new(),
            kind: "Service".to_owned(),
            name: String::new(),
            namespace: String::new(),
            port: None,
            weight: 1,
            filters: Vec::new(),
        }
    }
}

/// The kinds of backends that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// A Service of Kubernetes.
    Service,
    /// The host of a ServiceEntry, of whatever namespace.
    Hostname,
}

impl BackendRef {
    /// Its kind; absent when it is somebody else's.
    pub fn known_kind(&self) -> Option<BackendKind> {
        match (self.group.as_str(), self.kind.as_str()) {
            ("", "Service") => Some(BackendKind::Service),
            ("networking.istio.io", "Hostname") => Some(BackendKind::Hostname),
            _ => None,
        }
    }

    /// The reference, as made by an HTTPRoute of a namespace.
    pub fn reference<'a>(&'a self, namespace: &'a str) -> Reference<'a> {
        let owner = if self.namespace.is_empty() { namespace } else { &self.namespace };
        Reference { from: ("HTTPRoute", namespace), kind: (&self.group, &self.kind), to: (owner, &self.name) }
    }
}

/// Bounds in time; 0 is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Timeouts {
    /// The whole exchange, retries included; 504 when it is over.
    pub request: Option<Duration>,
    /// One try, until its answer begins; not longer than `request`.
    pub backend_request: Option<Duration>,
}

/// When a request is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteRetry {
    /// Statuses of answers, 400 to 599; failed connections are always repeated.
    pub codes: Vec<u32>,
    /// Tries after the first; default 2.
    pub attempts: Option<u32>,
    /// Least pause before a retry.
    pub backoff: Option<Duration>,
}
