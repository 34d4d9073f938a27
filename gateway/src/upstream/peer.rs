//! Turns an endpoint into the peer that Pingora connects to.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Uri, Version, header};
use pingora::http::RequestHeader;
use pingora::protocols::{ALPN, TcpKeepalive};
use pingora::upstreams::peer::{HttpPeer, Peer as _};
use pingora::{Error, ErrorType, Result};

use super::address::Address;
use super::cluster::Cluster;
use super::definition::{Keepalive, Pool, Protocol, ProxyHeader, Tls};
use super::dial::{Dial, Opening};
use super::endpoint::Endpoint;
use super::hash::mix;
use super::proxy_header;
use super::tls::{Authorities, Identity};
use crate::text::host_of;

/// What of a request matters for its connection.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Host of the request.
    pub authority: &'a str,
    /// Whether the client speaks HTTP/2.
    pub speaks_h2: bool,
    /// Whether it asks for a switch of protocols.
    pub switches: bool,
    /// The client and the address it came to.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

/// The peer for one try of a request to an endpoint.
pub fn for_endpoint(cluster: &Cluster, endpoint: &Endpoint, asker: Asker<'_>) -> Result<Box<HttpPeer>> {
    let definition = cluster.definition();
    let (tls, sni, verify) = match &definition.tls {
        Tls::Off => (false, String::new(), true),
        Tls::Unavailable => return Err(Error::explain(ErrorType::InvalidCert, "no certificate to show or to trust")),
        Tls::On { sni, verify, authorities: _, identity: _, revoked: _ } => {
            let name = sni.as_deref().unwrap_or_else(|| host_of(asker.authority));
            (true, name.to_owned(), *verify)
        }
    };
    let mut peer = match &endpoint.address {
        Address::Inet(address) => HttpPeer::new(*address, tls, sni),
        Address::Unix(path) => {
            let path =
                path.to_str().ok_or_else(|| Error::explain(ErrorType::SocketError, "socket path is no UTF-8"))?;
            HttpPeer::new_uds(path, tls, sni)?
        }
    };
    if let Tls::On { sni: _, verify: _, authorities, identity, revoked: _ } = &definition.tls {
        peer.client_cert_key = identity.as_ref().map(Identity::parsed);
        peer.options.ca = authorities.as_ref().map(Authorities::parsed);
    }
    let options = &mut peer.options;
    let Pool { connect_timeout, idle, max_requests: _, max_age: _, keepalive, max_streams, ping } = &definition.pool;
    options.total_connection_timeout = Some(*connect_timeout);
    options.idle_timeout = *idle;
    options.verify_cert = verify;
    options.verify_hostname = verify;
    options.max_h2_streams = *max_streams as usize;
    options.h2_ping_interval = *ping;
    options.tcp_keepalive = keepalive.map(|Keepalive { idle, interval, probes }| TcpKeepalive {
        idle,
        interval,
        count: probes as usize,
        user_timeout: Duration::ZERO,
    });
    // What switches protocols does so from HTTP/1.1.
    let (most, least) = match definition.protocol {
        Protocol::Http1 => (1, 1),
        Protocol::Http2 => (2, 2),
        Protocol::Client if asker.speaks_h2 => (2, 2),
        Protocol::Negotiated if tls && !asker.switches => (2, 1),
        Protocol::Client | Protocol::Negotiated => (1, 1),
    };
    options.set_http_version(most, least);
    let client = definition.proxy_header.zip(asker.addresses);
    options.custom_l4 = Some(match (client, asker.switches) {
        (None, false) => Arc::clone(cluster.dial()) as _,
        (client, switches) => Arc::new(dial(cluster, client, switches)),
    });
    peer.group_key = group(cluster, (most == 2, asker.switches), client);
    Ok(Box::new(peer))
}

/// A client and the address of ours that it came to, for a version of the PROXY protocol.
type Told = (ProxyHeader, (SocketAddr, SocketAddr));

/// Connections that begin otherwise than the cluster's do.
fn dial(cluster: &Cluster, client: Option<Told>, switches: bool) -> Dial {
    let greeting = client.map(|(version, (client, own))| proxy_header::write(version, client, own));
    let opening = Opening { greeting: greeting.unwrap_or_default().into(), switches };
    Dial::new(cluster.definition(), cluster.connections(), cluster.load(), opening)
}

/// Gives a head of our own making the form that HTTP/2 asks for: the host stands in the URI.
pub fn frame_http2(head: &mut RequestHeader, peer: &HttpPeer, authority: &str) -> Result<()> {
    let path = head.uri.path_and_query().map_or("/", |it| it.as_str()).to_owned();
    let scheme = if peer.is_tls() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
    head.set_uri(uri.map_err(|it| Error::because(ErrorType::InvalidHTTPHeader, "no URI for HTTP/2", it))?);
    head.remove_header(&header::HOST);
    head.set_version(Version::HTTP_2);
    Ok(())
}

/// Bounds each wait of a try by what is left of its time.
pub fn bound(peer: &mut HttpPeer, left: Duration) {
    bound_connect(peer, left);
    tighten(&mut peer.options.read_timeout, left);
    tighten(&mut peer.options.write_timeout, left);
}

/// Bounds the wait for a connection.
pub fn bound_connect(peer: &mut HttpPeer, left: Duration) {
    tighten(&mut peer.options.total_connection_timeout, left);
}

fn tighten(limit: &mut Option<Duration>, left: Duration) {
    *limit = Some(limit.map_or(left, |it| it.min(left)));
}

/// Keeps other requests from its connection while this one is on it, so that ending it ends nothing else.
pub fn set_alone(peer: &mut HttpPeer) {
    /// Tells such connections from those that are shared.
    const ALONE: u64 = 1;
    peer.options.max_h2_streams = 1;
    peer.group_key = mix(peer.group_key.wrapping_add(ALONE));
}

/// Whether its connections carry one request at a time.
pub fn is_http1(peer: &HttpPeer) -> bool {
    peer.get_alpn() == Some(&ALPN::H1)
}

/// What must be the same for two requests to share a connection and Pingora's own key leaves out.
fn group(cluster: &Cluster, kind: (bool, bool), client: Option<Told>) -> u64 {
    let generation = u64::from(cluster.connections().generation());
    let kind = u64::from(kind.0) | u64::from(kind.1) << 1 | generation << 2;
    let shared = mix(cluster.group().wrapping_add(kind));
    let Some(client) = client else { return shared };
    let mut hasher = DefaultHasher::new();
    (shared, client).hash(&mut hasher);
    hasher.finish()
}
