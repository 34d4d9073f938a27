//! Everything that makes a cluster what it is; two equal definitions are the same cluster.

use std::time::Duration;

use http::HeaderName;
use pingora::protocols::tls::SslDigest;

use super::address::Address;
use super::endpoint::Place;
use super::health::Check;
use super::limits::Limits;
use super::outlier::Detection;
use super::tiers::Division;
use super::tls::{Authorities, Identity, Revoked};
use crate::l4::tunnel::Tunnel;
use crate::network::Network;

/// Which version of HTTP an upstream is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, by prior knowledge without TLS.
    Http2,
    /// The client's.
    Client,
    /// What the server chooses in its handshake, HTTP/2 if it can; HTTP/1.1 without TLS.
    Negotiated,
}

/// TLS towards the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Plain text.
    Off,
    /// TLS.
    On {
        /// Name to send and to verify; the request's host when the rule names none.
        sni: Option<Box<str>>,
        /// Whether the certificate is checked.
        verify: bool,
        /// Authorities to trust; the system's when absent.
        authorities: Option<Authorities>,
        /// Certificate to show.
        identity: Option<Identity>,
        /// Certificates that are not accepted any more.
        revoked: Option<Revoked>,
    },
    /// What TLS needs is not there; nothing is sent in plain text instead.
    Unavailable,
}

impl Tls {
    /// Whether a connection that was made may be used; the handshake has checked the rest.
    pub fn admits(&self, made: Option<&SslDigest>) -> bool {
        match self {
            Self::On { revoked: Some(revoked), .. } => {
                made.and_then(|it| it.serial_number.as_ref()).is_some_and(|it| !revoked.contains(it))
            }
            Self::On { revoked: None, .. } | Self::Off | Self::Unavailable => true,
        }
    }
}

/// One endpoint, or one name that stands for some.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member<T> {
    /// The address, or the name.
    pub target: T,
    /// Share of the traffic.
    pub weight: u32,
    /// Where it stands.
    pub place: Place,
}

/// How the endpoints of a cluster are known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Discovery {
    /// They are these.
    Static(Vec<Member<Address>>),
    /// They are the addresses of names.
    Dns(DnsDiscovery),
    /// They are the addresses of the host that a request asks for.
    ByHost(ByHost),
    /// There are none: nobody says where.
    Nowhere,
}

/// Endpoints that are the addresses of each request's own host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ByHost {
    /// Port of the addresses.
    pub port: u16,
    /// Networks that hosts may lead to though they are not public.
    pub networks: Box<[Network]>,
}

/// Names that stand for endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsDiscovery {
    /// The names; each contributes its addresses.
    pub names: Vec<Member<DnsName>>,
    /// Whether one address is used for all, as in `DNS_ROUND_ROBIN`.
    pub one_address: bool,
    /// Longest time between two queries.
    pub refresh: Duration,
    /// Networks that names may lead to besides public ones, where the names are outside; any when absent.
    pub guard: Option<Box<[Network]>>,
}

/// One name that stands for endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsName {
    /// Spellings to try, the first that has addresses is taken.
    pub candidates: Vec<Box<str>>,
    /// Port of its addresses.
    pub port: u16,
}

/// What of a request is hashed to stay on one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HashKey {
    /// The values of a header.
    Header(HeaderName),
    /// A cookie; given out when the request has none and `given` says how.
    Cookie {
        /// Its name.
        name: Box<str>,
        /// Everything behind `name=value` in `set-cookie`; absent means that it is only read.
        given: Option<Box<str>>,
    },
    /// The client's address.
    ClientAddress,
    /// The first value of a query parameter.
    Query(Box<str>),
}

/// Which connections are made and kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Bound on connecting.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept; no bound when absent.
    pub idle: Option<Duration>,
    /// Requests of one connection; 0 is no bound.
    pub max_requests: u32,
    /// Age at which a connection gets no more requests.
    pub max_age: Option<Duration>,
    /// Probes of the kernel.
    pub keepalive: Option<Keepalive>,
    /// Most streams of one HTTP/2 connection.
    pub max_streams: u32,
    /// Time between HTTP/2 pings.
    pub ping: Option<Duration>,
}

/// Probes of the kernel on an unused connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Keepalive {
    /// Idle time before the first.
    pub idle: Duration,
    /// Time between them.
    pub interval: Duration,
    /// How many may stay unanswered.
    pub probes: u32,
}

/// Version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyHeader {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Everything that makes a cluster what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Definition {
    /// Host of the registry.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// Its subset; empty for all endpoints.
    pub subset: Box<str>,
    /// Namespace of the document that declares the host.
    pub namespace: Box<str>,
    /// How endpoints are known.
    pub discovery: Discovery,
    /// How traffic is divided among them.
    pub division: Division,
    /// What keeps a request on one endpoint.
    pub key: Option<HashKey>,
    /// Version of HTTP.
    pub protocol: Protocol,
    /// TLS.
    pub tls: Tls,
    /// Which connections are made and kept.
    pub pool: Pool,
    /// Bounds on what is asked at once.
    pub limits: Limits,
    /// When endpoints are left out.
    pub detection: Option<Detection>,
    /// How endpoints are asked whether they are well.
    pub check: Option<Check>,
    /// PROXY header that opens a connection.
    pub proxy_header: Option<ProxyHeader>,
    /// Who carries TCP connections on.
    pub tunnel: Option<Tunnel>,
}

/// The name of a cluster, which consoles take apart.
pub fn name(host: &str, port: u16, subset: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}
