//! The part of Istio's MeshConfig that a gateway needs, under Istio's own keys.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::destination_rule::{H2UpgradePolicy, TcpKeepalive, TrafficPolicy};
use super::extension_provider::ExtensionProvider;
use super::gateway::TlsVersion;
use super::http_action::Retry;
use super::load_balancer::LocalityLb;
use super::sidecar::OutboundTrafficPolicy;
use crate::value::Duration;

/// Defaults for all resources.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MeshConfig {
    /// File of the access log; `/dev/stdout` by default here, `""` turns it off.
    pub access_log_file: Option<String>,
    /// Format with `%…%` commands; default Istio's.
    pub access_log_format: String,
    /// TEXT or JSON.
    pub access_log_encoding: Option<AccessLogEncoding>,
    /// Turns tracing on.
    #[schemars(extend("x-support" = "later"))]
    pub enable_tracing: bool,
    /// Services that policies refer to by name.
    pub extension_providers: Vec<ExtensionProvider>,
    /// Providers used when a Telemetry names none.
    #[schemars(extend("x-support" = "later"))]
    pub default_providers: Option<DefaultProviders>,
    /// What happens to hosts that no document names; not for gateways.
    #[schemars(extend("x-support" = "later"))]
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    /// How paths are normalised before anything judges them.
    pub path_normalization: Option<PathNormalization>,
    /// Retries of routes that name none.
    pub default_http_retry_policy: Option<Retry>,
    /// Policy of hosts without a DestinationRule.
    pub default_traffic_policy: Option<TrafficPolicy>,
    /// TLS of servers that say nothing else.
    pub tls_defaults: Option<TlsDefaults>,
    /// Bound on connecting to an upstream; default 10s.
    pub connect_timeout: Option<Duration>,
    /// Keep-alive probes of the kernel.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Longest time between DNS queries for one name; default 60s.
    pub dns_refresh_rate: Option<Duration>,
    /// Time to wait for the first bytes of a connection.
    #[schemars(extend("x-support" = "mesh"))]
    pub protocol_detection_timeout: Option<Duration>,
    /// Preference for near endpoints.
    pub locality_lb_setting: Option<LocalityLb>,
    /// Whether HTTP/2 is spoken on HTTP/1.1 ports.
    pub h2_upgrade_policy: Option<H2UpgradePolicy>,
    /// Namespace whose policies apply everywhere; default istio-system.
    pub root_namespace: String,
    /// Trust domain of identities; default cluster.local.
    #[schemars(extend("x-support" = "later"))]
    pub trust_domain: String,
    /// Other names of the trust domain.
    #[schemars(extend("x-support" = "later"))]
    pub trust_domain_aliases: Vec<String>,
    /// Visibility of services that say nothing.
    pub default_service_export_to: Vec<String>,
    /// Visibility of VirtualServices that say nothing.
    pub default_virtual_service_export_to: Vec<String>,
    /// Visibility of DestinationRules that say nothing.
    pub default_destination_rule_export_to: Vec<String>,
    /// Settings of the proxy itself.
    pub default_config: Option<ProxyConfig>,
}

/// Form of access log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccessLogEncoding {
    /// One line of text.
    Text,
    /// One JSON object.
    Json,
}

/// Providers used when a Telemetry names none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DefaultProviders {
    /// For tracing.
    pub tracing: Vec<String>,
    /// For metrics.
    pub metrics: Vec<String>,
    /// For access logs.
    pub access_logging: Vec<String>,
}

/// How paths are normalised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PathNormalization {
    /// Default BASE.
    pub normalization: Option<Normalization>,
}

/// Steps of normalisation, each with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Normalization {
    /// BASE.
    Default,
    /// As the client sent it.
    None,
    /// RFC 3986: dot segments, unreserved escapes, backslashes.
    Base,
    /// Also several slashes become one.
    MergeSlashes,
    /// Also escaped slashes and backslashes become slashes.
    DecodeAndMergeSlashes,
}

/// TLS of servers that say nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TlsDefaults {
    /// Lowest version.
    pub min_protocol_version: Option<TlsVersion>,
    /// Admitted cipher suites of TLS 1.2.
    pub cipher_suites: Vec<String>,
    /// Admitted curves.
    pub ecdh_curves: Vec<String>,
}

/// Settings of the proxy itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// What stands in front of the gateway.
    pub gateway_topology: Option<GatewayTopology>,
    /// Headers that the proxy adds.
    #[schemars(extend("x-support" = "later"))]
    pub proxy_headers: Option<Value>,
    /// Worker threads; use `workers` of the settings.
    #[schemars(extend("x-support" = "later"))]
    pub concurrency: Option<i32>,
    /// Time that connections get to end when listeners go away.
    pub drain_duration: Option<Duration>,
    /// Time that connections get to end at shutdown; default 30s.
    pub termination_drain_duration: Option<Duration>,
    /// Tracing.
    #[schemars(extend("x-support" = "later"))]
    pub tracing: Option<Value>,
    /// Which statistics are kept.
    #[schemars(extend("x-support" = "mesh"))]
    pub proxy_stats_matcher: Option<Value>,
    /// Further CAs (PEM).
    #[schemars(extend("x-support" = "later"))]
    pub ca_certificates_pem: Vec<String>,
    /// Limits of connections.
    #[schemars(extend("x-support" = "later"))]
    pub connection_settings: Option<Value>,
    /// Waits for the proxy before the application starts.
    #[schemars(extend("x-support" = "mesh"))]
    pub hold_application_until_proxy_starts: Option<bool>,
    /// Image of the proxy.
    #[schemars(extend("x-support" = "mesh"))]
    pub image: Option<Value>,
    /// Environment of the proxy.
    #[schemars(extend("x-support" = "mesh"))]
    pub proxy_metadata: BTreeMap<String, String>,
    /// Readiness probe of the pod.
    #[schemars(extend("x-support" = "mesh"))]
    pub readiness_probe: Option<Value>,
    /// Address of the control plane.
    #[schemars(extend("x-support" = "mesh"))]
    pub discovery_address: String,
}

/// What stands in front of the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GatewayTopology {
    /// Proxies whose X-Forwarded-For entries are trusted; default 0.
    pub num_trusted_proxies: u32,
    /// What happens to the client certificate header; default SANITIZE_SET.
    pub forward_client_cert_details: Option<ForwardClientCert>,
    /// Expects a PROXY header on every connection; `proxyProtocol` of the settings says from whom.
    pub proxy_protocol: Option<Value>,
}

/// What happens to `x-forwarded-client-cert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are Envoy's and say it all")]
pub enum ForwardClientCert {
    Undefined,
    Sanitize,
    ForwardOnly,
    AppendForward,
    SanitizeSet,
    AlwaysForwardOnly,
}
