//! DestinationRule: how traffic to a host is balanced, bounded and secured.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::load_balancer::LoadBalancer;
use super::shared::{PortSelector, WorkloadSelector};
use crate::value::Duration;

/// Policy for the traffic to one host.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DestinationRule {
    /// Host of the registry; a wildcard stands only on the left.
    pub host: String,
    /// Policy for all ports and subsets.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named parts of the host's endpoints.
    pub subsets: Vec<Subset>,
    /// Namespaces that may use it.
    pub export_to: Vec<String>,
    /// Workloads of the namespace it is for; default all.
    pub workload_selector: Option<WorkloadSelector>,
}

/// Policy for traffic; each block replaces a less specific one as a whole.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TrafficPolicy {
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is left out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the upstream; absent is plain text.
    pub tls: Option<ClientTls>,
    /// Policies that replace this one for single ports.
    pub port_level_settings: Vec<PortTrafficPolicy>,
    /// Carries TCP through another proxy.
    pub tunnel: Option<Tunnel>,
    /// Sends a PROXY header to the upstream.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Bounds retries in proportion to requests.
    pub retry_budget: Option<RetryBudget>,
}

/// Policy for one port.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PortTrafficPolicy {
    /// The port.
    pub port: Option<PortSelector>,
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is left out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the upstream.
    pub tls: Option<ClientTls>,
}

/// A named part of a host's endpoints.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Subset {
    /// Name, unique in the rule.
    pub name: String,
    /// Labels that an endpoint must have.
    pub labels: BTreeMap<String, String>,
    /// Blocks that replace those of the host's policy.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// How many connections and requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConnectionPool {
    /// For TCP and HTTP.
    pub tcp: Option<TcpSettings>,
    /// For HTTP.
    pub http: Option<HttpSettings>,
}

/// Connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpSettings {
    /// Most connections of this gateway to the host.
    pub max_connections: i32,
    /// Bound on connecting; default 10s.
    pub connect_timeout: Option<Duration>,
    /// Keep-alive probes of the kernel.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Longest life of a connection.
    pub max_connection_duration: Option<Duration>,
    /// Closes a connection after this idle time; default 1h, 0s is never.
    pub idle_timeout: Option<Duration>,
}

/// Keep-alive probes of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpKeepalive {
    /// Unanswered probes until the connection counts as dead.
    pub probes: u32,
    /// Idle time before the first probe; whole seconds.
    pub time: Option<Duration>,
    /// Time between probes; whole seconds.
    pub interval: Option<Duration>,
}

/// Requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Most requests that wait for a connection.
    pub http1_max_pending_requests: i32,
    /// Most requests under way, of HTTP/1.1 too.
    pub http2_max_requests: i32,
    /// Most requests of one connection; 0 is no bound, 1 turns keep-alive off.
    pub max_requests_per_connection: i32,
    /// Most retries under way.
    pub max_retries: i32,
    /// Closes a connection after this idle time; default 1h.
    pub idle_timeout: Option<Duration>,
    /// Whether HTTP/2 is spoken on HTTP/1.1 ports.
    pub h2_upgrade_policy: Option<H2UpgradePolicy>,
    /// Speaks the client's version of HTTP.
    pub use_client_protocol: bool,
    /// Most streams of one HTTP/2 connection.
    pub max_concurrent_streams: i32,
    /// PING frames.
    pub http2_keep_alive: Option<H2KeepAlive>,
}

/// Whether HTTP/2 is spoken on HTTP/1.1 ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum H2UpgradePolicy {
    /// What the mesh configuration says.
    Default,
    /// HTTP/1.1.
    DoNotUpgrade,
    /// HTTP/2.
    Upgrade,
}

/// PING frames on HTTP/2 connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct H2KeepAlive {
    /// Time between PINGs.
    pub interval: Option<Duration>,
    /// Bound on the answer; here it is always 5s.
    #[schemars(extend("x-support" = "later"))]
    pub timeout: Option<Duration>,
}

/// When an endpoint is left out for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OutlierDetection {
    /// No effect; use consecutive5xxErrors.
    #[schemars(extend("x-support" = "inert"))]
    pub consecutive_errors: i32,
    /// Counts failures to connect apart from answers.
    pub split_external_local_origin_errors: bool,
    /// Failures to connect in a row; default 5.
    pub consecutive_local_origin_failures: Option<u32>,
    /// 502, 503 and 504 in a row; off by default.
    pub consecutive_gateway_errors: Option<u32>,
    /// 5xx in a row; default 5, 0 is off.
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    /// Time between sweeps; default 10s.
    pub interval: Option<Duration>,
    /// Shortest ejection, times the number of ejections; default 30s.
    pub base_ejection_time: Option<Duration>,
    /// Most endpoints ejected at once, in percent; default 10.
    pub max_ejection_percent: i32,
    /// Share of healthy endpoints below which all are used; default 0.
    pub min_health_percent: i32,
    /// Status codes that count as errors; default 5xx.
    pub outlier_detection_http_error_codes: Vec<u32>,
}

/// TLS towards the upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClientTls {
    /// How.
    pub mode: Option<ClientTlsMode>,
    /// Path of the client certificate (PEM).
    pub client_certificate: String,
    /// Path of its key (PEM).
    pub private_key: String,
    /// Path of the CA (PEM), or `system`; default the system's.
    pub ca_certificates: String,
    /// Secret with the files above.
    pub credential_name: String,
    /// Names of which the server's certificate must carry one.
    pub subject_alt_names: Vec<String>,
    /// SNI to send; default the request's host.
    pub sni: String,
    /// Admits any server certificate.
    pub insecure_skip_verify: Option<bool>,
    /// Path of revoked certificates (PEM); looked up is the server's own certificate, by its serial number.
    pub ca_crl: String,
}

/// How the upstream is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClientTlsMode {
    /// Plain text.
    Disable,
    /// TLS.
    Simple,
    /// TLS with a client certificate.
    Mutual,
    /// TLS with the mesh's certificates.
    IstioMutual,
}

/// Carries TCP through another proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Tunnel {
    /// CONNECT (default) or POST.
    pub protocol: String,
    /// Host asked of the proxy.
    pub target_host: String,
    /// Port asked of the proxy.
    pub target_port: u32,
}

/// Sends a PROXY header to the upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Version; default V1.
    pub version: Option<ProxyProtocolVersion>,
}

/// Version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ProxyProtocolVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Bounds retries in proportion to requests.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RetryBudget {
    /// Share in percent; default 20.
    pub percent: Option<f64>,
    /// Retries always admitted; default 3.
    pub min_retry_concurrency: u32,
    /// Requests that began within this time count as well as those under way; absent counts those under way alone.
    pub budget_interval: Option<Duration>,
}
