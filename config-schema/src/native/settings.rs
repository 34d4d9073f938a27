//! GatewaySettings: what this process is and where it listens.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::egress_settings::EgressSettings;
use crate::istio::mesh_config::MeshConfig;
use crate::value::Duration;

/// The longest request body that can be kept for retries, in bytes: what Pingora keeps.
pub const MAX_RETRY_BUFFER: u32 = 64 * 1024;

/// Settings of the process; one document among the others.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GatewaySettings {
    /// Identity that selectors and policies see.
    pub node: Node,
    /// Address of listeners whose Gateway names none.
    pub bind_address: String,
    /// Port of a Gateway to the port really bound; 0 is any free one, absent the number itself.
    pub port_map: BTreeMap<String, u16>,
    /// The operator's port.
    pub admin: AdminAddress,
    /// The port of health checks.
    pub health: HealthAddress,
    /// Istio's MeshConfig, the part that a gateway needs.
    pub mesh_config: MeshConfig,
    /// Where rate limits are counted; absent counts in memory.
    pub redis: Option<RedisSettings>,
    /// Certificates in files.
    pub secrets: Option<SecretsSettings>,
    /// Certificates of a mesh, for servers of mode ISTIO_MUTUAL.
    pub mesh_certificates: MeshCertificates,
    /// Who tells the client's address with a PROXY header, on every port.
    pub proxy_protocol: Option<ProxyProtocolSettings>,
    /// Answers CORS preflights before tokens and access policies are asked for, and lets pages read refusals; Istio does neither.
    pub cors_before_authentication: bool,
    /// How keys of issuers are fetched (RequestAuthentication).
    pub jwks: JwksSettings,
    /// What holds for all ways out of forward proxies.
    pub egress: EgressSettings,
    /// Worker threads; 0 is one per core.
    pub workers: u32,
    /// How names are resolved.
    pub dns: DnsSettings,
    /// Bounds on what clients may do.
    pub limits: Limits,
}

impl GatewaySettings {
    /// Namespace whose policies apply everywhere.
    pub fn root_namespace(&self) -> &str {
        let root = &self.mesh_config.root_namespace;
        if root.is_empty() { "istio-system" } else { root }
    }

    /// Whether policies of a namespace are for this gateway, where they do not say otherwise.
    pub fn takes_policies_of(&self, namespace: &str) -> bool {
        namespace == self.node.namespace || namespace == self.root_namespace()
    }
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            node: Node::default(),
            bind_address: "0.0.0.0".to_owned(),
            port_map: BTreeMap::new(),
            admin: AdminAddress::default(),
            health: HealthAddress::default(),
            mesh_config: MeshConfig::default(),
            redis: None,
            secrets: None,
            mesh_certificates: MeshCertificates::default(),
            jwks: JwksSettings::default(),
            egress: EgressSettings::default(),
            proxy_protocol: None,
            cors_before_authentication: false,
            workers: 0,
            dns: DnsSettings::default(),
            limits: Limits::default(),
        }
    }
}

/// Identity that selectors and policies see.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Node {
    /// Name in metrics and logs.
    pub name: String,
    /// Namespace whose policies apply, beside the root namespace.
    pub namespace: String,
    /// Labels that the selectors of Gateways and policies are matched against.
    pub labels: BTreeMap<String, String>,
    /// `region/zone/subzone`.
    pub locality: String,
    /// Domain of Kubernetes services.
    pub cluster_domain: String,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: "sluice".to_owned(),
            namespace: "istio-system".to_owned(),
            labels: BTreeMap::from([("istio".to_owned(), "ingressgateway".to_owned())]),
            locality: String::new(),
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}

/// The operator's port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AdminAddress {
    /// Address and port; keep it on loopback.
    pub address: String,
}

impl Default for AdminAddress {
    fn default() -> Self {
        Self { address: "127.0.0.1:15000".to_owned() }
    }
}

/// The port of health checks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HealthAddress {
    /// Address and port.
    pub address: String,
}

impl Default for HealthAddress {
    fn default() -> Self {
        Self { address: "0.0.0.0:15021".to_owned() }
    }
}

/// Where rate limits are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port/db`, `rediss://` for TLS, `unix:///path`; of a sentinel or cluster one of its nodes.
    pub url: String,
    /// More nodes of the sentinels or the cluster.
    pub nodes: Vec<String>,
    /// What it is; default Single.
    pub mode: Option<RedisMode>,
    /// Sentinel: name of the master.
    pub master_name: String,
    /// User of an ACL, instead of the URL's.
    pub username: String,
    /// File with the password, instead of the URL's.
    pub password_file: String,
    /// Sentinel: user of the sentinels themselves.
    pub sentinel_username: String,
    /// Sentinel: file with the password of the sentinels themselves.
    pub sentinel_password_file: String,
    /// How servers of `rediss://` are verified.
    pub tls: Option<RedisTls>,
    /// Longest time that a request waits for an answer; default 20ms.
    pub timeout: Option<Duration>,
    /// Begins every key; default `sluice:`.
    pub key_prefix: String,
}

/// What a Redis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum RedisMode {
    /// One server.
    Single,
    /// The master that sentinels tell.
    Sentinel,
    /// Servers that share the keys.
    Cluster,
}

/// How servers are verified, and what they are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RedisTls {
    /// File of authorities (PEM); absent are the system's.
    pub ca_certificates: String,
    /// File of the client certificate's chain (PEM).
    pub client_certificate: String,
    /// File of its key (PEM).
    pub private_key: String,
    /// Takes any certificate.
    pub insecure_skip_verify: bool,
}

/// Certificates in files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SecretsSettings {
    /// Folder with `<credentialName>/{tls.crt,tls.key,ca.crt,ca.crl}`.
    pub directory: String,
}

/// Certificates of a mesh, where Istio's agent puts them unless it is said otherwise; read anew when they change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MeshCertificates {
    /// Path of the chain with the SPIFFE identity (PEM).
    pub certificate_chain: String,
    /// Path of its key (PEM).
    pub private_key: String,
    /// Path of the authorities of other identities (PEM).
    pub root_certificates: String,
}

impl Default for MeshCertificates {
    fn default() -> Self {
        let path = |file: &str| format!("/etc/certs/{file}");
        Self {
            certificate_chain: path("cert-chain.pem"),
            private_key: path("key.pem"),
            root_certificates: path("root-cert.pem"),
        }
    }
}

/// Who tells the client's address with a PROXY header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProxyProtocolSettings {
    /// Networks whose connections begin with a header, version 1 or 2; others are taken as direct clients.
    pub trusted_sources: Vec<String>,
}

/// How names are resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DnsSettings {
    /// Servers as `address:port`; empty uses the system's.
    pub servers: Vec<String>,
}

/// How keys of issuers are fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct JwksSettings {
    /// How long keys are used while they cannot be fetched anew; default 24h.
    pub max_age: Option<Duration>,
    /// A file of authorities (PEM) that servers of keys are verified by; absent are the system's.
    pub ca_certificates: String,
    /// A forward proxy that keys are fetched through, as `host:port`.
    pub proxy: String,
    /// Networks that may be asked though they are link-local or a cloud's metadata service.
    pub allowed_addresses: Vec<String>,
}

/// Bounds on what clients may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Most client connections at once; 0 is half of the file descriptors.
    pub max_connections: u32,
    /// Most connections of one client address at once; 0 is no bound.
    pub max_connections_per_client: u32,
    /// Bound on a whole request head; default 10s.
    pub head_timeout: Option<Duration>,
    /// Closes a connection that carries no request for this long; default 60s.
    pub idle_timeout: Option<Duration>,
    /// Longest request body in bytes that is kept for retries; longer ones are sent once. Default and most are 65536.
    pub retry_buffer_bytes: Option<u32>,
}
