//! The compiled configuration, and the one handle it is published through.
//!
//! A request loads one [`Snapshot`] when it is born and keeps it to its end, so no request
//! sees two configurations. What changes without configuration (a cluster's endpoints) is
//! swapped inside the thing that owns it.

pub mod tls_table;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::filter::api_key_authentication::ApiKeyAuthentication;
use crate::filter::authentication::Authentication;
use crate::filter::authorization::Authorization;
use crate::filter::basic_authentication::BasicAuthentication;
use crate::filter::descriptor_limit::DescriptorLimits;
use crate::filter::egress_credential::EgressCredentials;
use crate::filter::external_authorization::Custom;
use crate::filter::rate_limit::Rule;
use crate::listener::limits::ConnectionLimits;
use crate::listener::set::{ListenerKey, Wanted};
use crate::listener::tls::authority::Interception;
use crate::listener::tls::server::TlsServer;
use crate::listener::tls::terms::Definition as TlsDefinition;
use crate::network::set::Networks;
use crate::quota::counters::Counters;
use crate::routing::host_table::HostTable;
use crate::routing::limits::Staged;
use crate::routing::path::Normalization;
use crate::routing::tcp::TcpRoute;
use crate::routing::way_out::WaysOut;
use crate::telemetry::access_log::AccessLogFormat;
use crate::upstream::cluster::Cluster;
use crate::upstream::definition::Definition;
use tls_table::TlsTable;

/// One compiled configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// Number of the configuration, from 1.
    pub generation: u64,
    /// When it was compiled.
    pub compiled: SystemTime,
    /// The ports it serves, in the order of their keys.
    pub listeners: Vec<Arc<Listener>>,
    /// Ports that the configuration before had and this one has not; their connections may
    /// still bring a request before they see that they shall end.
    pub retired: Vec<Arc<Listener>>,
    /// Every cluster by what it is made of.
    pub clusters: HashMap<Definition, Arc<Cluster>>,
    /// Every TLS server by what it is made of.
    pub tls_servers: HashMap<TlsDefinition, Arc<TlsServer>>,
    /// Which keys are accepted.
    pub api_keys: ApiKeyAuthentication,
    /// Which passwords are accepted, if any are asked for.
    pub basic: Option<BasicAuthentication>,
    /// Which tokens are accepted.
    pub authentication: Authentication,
    /// Who may do what.
    pub authorization: Authorization,
    /// Who outside is asked.
    pub custom: Option<Custom>,
    /// How often every request may be asked.
    pub limits: Staged,
    /// Secrets that requests get on their way out.
    pub egress_credentials: EgressCredentials,
    /// Whether a route may have limits before authentication, so that it is looked up then.
    pub limits_ahead: bool,
    /// What EnvoyFilters say of rate limits.
    pub descriptor_limits: DescriptorLimits,
    /// Every rule of a rate limit, wherever it is attached.
    pub limit_rules: Vec<Arc<Rule>>,
    /// Where limits are counted.
    pub counters: Counters,
    /// What applies to all requests.
    pub settings: Settings,
}

/// What applies to all requests.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How paths are normalised.
    pub normalization: Normalization,
    /// Proxies in front whose X-Forwarded-For entries are trusted.
    pub trusted_proxies: usize,
    /// What upstreams learn of client certificates.
    pub client_certificates: ForwardClientCert,
    /// Who tells the client's address with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// Whether CORS comes before tokens and access policies.
    pub cors_first: bool,
    /// Bounds on connections.
    pub connections: ConnectionLimits,
    /// Most connections at once.
    pub max_connections: u32,
    /// Most connections of one client; 0 is no bound.
    pub max_connections_per_client: u32,
    /// Longest request body that is kept for retries, in bytes.
    pub retry_buffer: usize,
    /// Where and how requests are logged.
    pub access_log: AccessLog,
    /// Identity for metrics.
    pub node: Node,
    /// Bound on the time that connections get to end at shutdown.
    pub drain: Duration,
}

/// What upstreams learn of client certificates, in `x-forwarded-client-cert` (Envoy's choices).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardClientCert {
    /// Nothing.
    Sanitize,
    /// What a client with a certificate said.
    ForwardOnly,
    /// That, and its certificate.
    AppendForward,
    /// Its certificate alone.
    SanitizeSet,
    /// What any client said.
    AlwaysForwardOnly,
}

/// Who tells the client's address with a PROXY header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Nobody.
    Off,
    /// Everyone in these networks, always; others come directly.
    From(Networks),
}

/// Whether requests are logged, and how.
#[derive(Debug, Clone)]
pub enum AccessLog {
    /// Not at all.
    Off,
    /// To a file in a format.
    On {
        /// Path; `/dev/stdout` is the standard output.
        file: Box<str>,
        /// Form of the lines.
        format: Arc<AccessLogFormat>,
    },
}

/// Identity for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: Box<str>,
    /// Namespace.
    pub namespace: Box<str>,
    /// `app` label, or the name.
    pub app: Box<str>,
    /// `version` label, or `unknown`.
    pub version: Box<str>,
    /// Domain of Kubernetes services.
    pub cluster_domain: Box<str>,
}

/// A port.
#[derive(Debug)]
pub struct Listener {
    /// As declared and as bound.
    pub wanted: Wanted,
    /// What it serves.
    pub service: Service,
}

/// What a port serves.
#[derive(Debug)]
pub enum Service {
    /// HTTP, to these virtual hosts.
    Http(HostTable),
    /// TCP, by this route; connections are closed when there is none.
    Tcp(Option<Arc<TcpRoute>>),
    /// TLS, by these servers.
    Tls(TlsTable),
    /// Requests and tunnels to destinations elsewhere.
    Proxy(Proxy),
}

/// A forward proxy.
#[derive(Debug)]
pub struct Proxy {
    /// What may be reached.
    pub ways: Arc<WaysOut>,
    /// Who ends the clients' TLS, where they speak it.
    pub server: Option<Arc<TlsServer>>,
    /// Hosts whose TLS ends here, inside of tunnels.
    pub interceptions: HostTable<Interception>,
}

impl Service {
    /// Its name for scripts.
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Http(_) => "HTTP",
            Self::Tcp(_) => "TCP",
            Self::Tls(_) => "TLS",
            Self::Proxy(Proxy { ways: _, server: None, interceptions: _ }) => "HTTP_PROXY",
            Self::Proxy(Proxy { ways: _, server: Some(_), interceptions: _ }) => "HTTPS_PROXY",
        }
    }
}

impl Snapshot {
    /// The listener of a connection, also of one that shall end.
    pub fn listener(&self, key: ListenerKey) -> Option<&Arc<Listener>> {
        match self.listeners.binary_search_by_key(&key, |it| it.wanted.key) {
            Ok(index) => self.listeners.get(index),
            Err(_) => self.retired.iter().find(|it| it.wanted.key == key),
        }
    }
}

/// The published configuration.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Snapshot>,
    published: watch::Sender<()>,
}

impl Live {
    /// Publishes the first one.
    pub fn new(first: Arc<Snapshot>) -> Self {
        Self { current: ArcSwap::new(first), published: watch::Sender::new(()) }
    }

    /// The configuration now; a request calls this once.
    pub fn pin(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces it; requests under way keep theirs.
    pub fn publish(&self, next: Arc<Snapshot>) {
        self.current.store(next);
        self.published.send_replace(());
    }

    /// Tells when another generation than this one is published: at once, where that was before it is asked for.
    pub fn follow(&self, generation: u64) -> watch::Receiver<()> {
        let mut follower = self.published.subscribe();
        if self.current.load().generation != generation {
            follower.mark_changed();
        }
        follower
    }
}
