//! Gateway: which ports are listened on, for which hosts, with which TLS.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Listeners of the gateways that the selector chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Gateway {
    /// The listeners; at least one.
    pub servers: Vec<Server>,
    /// Labels that a gateway must have (`node.labels` of the settings); absent selects all.
    pub selector: BTreeMap<String, String>,
}

/// One listener: a port, its hosts, its TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Server {
    /// Port to listen on.
    pub port: Option<Port>,
    /// IP address to bind, or empty for `bindAddress` of the settings; `unix:///path` is not listened on yet.
    pub bind: String,
    /// Hosts served, `[namespace/]name`, with a wildcard only on the left.
    pub hosts: Vec<String>,
    /// How connections are secured; required for HTTPS and TLS.
    pub tls: Option<ServerTls>,
    /// No effect.
    #[schemars(extend("x-support" = "inert"))]
    pub default_endpoint: String,
    /// Name for statistics; unique in the Gateway.
    pub name: String,
}

/// A port of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Port {
    /// 1 to 65535, or 0 for a unix socket; `portMap` of the settings may bind another.
    pub number: u32,
    /// HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS, in any case.
    pub protocol: String,
    /// Name, unique in the Gateway.
    pub name: String,
    /// No effect.
    #[schemars(extend("x-support" = "inert"))]
    pub target_port: u32,
}

/// TLS towards clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServerTls {
    /// Plain HTTP only: answers every request with 301 to https.
    pub https_redirect: bool,
    /// What happens to TLS; unset means PASSTHROUGH.
    pub mode: Option<TlsMode>,
    /// Path of the certificate chain (PEM).
    pub server_certificate: String,
    /// Path of the private key (PEM).
    pub private_key: String,
    /// Path of the CA for client certificates (PEM).
    pub ca_certificates: String,
    /// Path of revoked client certificates (PEM).
    pub ca_crl: String,
    /// Secret with certificate, key and CA.
    pub credential_name: String,
    /// Up to two secrets, one RSA and one ECDSA.
    pub credential_names: Vec<String>,
    /// Secret with the CA alone.
    pub ca_cert_credential_name: String,
    /// Up to two certificates, one RSA and one ECDSA.
    pub tls_certificates: Vec<TlsCertificate>,
    /// Names of which a client certificate must carry one.
    pub subject_alt_names: Vec<String>,
    /// Base64 SHA-256 of admitted public keys.
    pub verify_certificate_spki: Vec<String>,
    /// Hex SHA-256 of admitted certificates.
    pub verify_certificate_hash: Vec<String>,
    /// Lowest version; TLS_AUTO is 1.2, and older ones are not spoken.
    pub min_protocol_version: Option<TlsVersion>,
    /// Highest version; TLS_AUTO is 1.3.
    pub max_protocol_version: Option<TlsVersion>,
    /// OpenSSL names of admitted cipher suites of TLS 1.2; those without forward secrecy or AEAD are not spoken.
    pub cipher_suites: Vec<String>,
    /// Checks client certificates and admits bad ones all the same.
    pub insecure_skip_verify: Option<bool>,
}

/// A certificate with its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TlsCertificate {
    /// Path of the certificate chain (PEM).
    pub server_certificate: String,
    /// Path of the private key (PEM).
    pub private_key: String,
    /// No effect.
    #[schemars(extend("x-support" = "inert"))]
    pub ca_certificates: String,
}

/// What a server does with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsMode {
    /// Forwarded as it is, by SNI.
    Passthrough,
    /// Terminated with a server certificate.
    Simple,
    /// Terminated; the client must show a certificate.
    Mutual,
    /// Multi-cluster pass-through by coded SNI.
    AutoPassthrough,
    /// Terminated with the mesh's certificates.
    IstioMutual,
    /// Terminated; the client may show a certificate.
    OptionalMutual,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// The default.
    #[serde(rename = "TLS_AUTO")]
    Auto,
    /// TLS 1.0.
    #[serde(rename = "TLSV1_0")]
    V1_0,
    /// TLS 1.1.
    #[serde(rename = "TLSV1_1")]
    V1_1,
    /// TLS 1.2.
    #[serde(rename = "TLSV1_2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "TLSV1_3")]
    V1_3,
}
