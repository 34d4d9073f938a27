//! Turns an endpoint into the peer that Pingora connects to.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::address::Address;
use super::cluster::{Cluster, Protocol, Tls};
use super::endpoint::Endpoint;
use crate::text::host_of;

/// How long an unused connection to an upstream is kept (Envoy's default).
const IDLE: Duration = Duration::from_secs(3600);

/// The peer for one try of a request to an endpoint; `authority` is the request's host.
pub fn for_endpoint(cluster: &Cluster, endpoint: &Endpoint, authority: &str) -> Result<Box<HttpPeer>> {
    let definition = cluster.definition();
    let (tls, sni, verify) = match &definition.tls {
        Tls::Off => (false, String::new(), true),
        Tls::On { sni, verify } => {
            let name = sni.as_deref().unwrap_or_else(|| host_of(authority));
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
    let options = &mut peer.options;
    options.connection_timeout = Some(definition.connect_timeout);
    options.total_connection_timeout = Some(definition.connect_timeout);
    options.idle_timeout = Some(IDLE);
    options.verify_cert = verify;
    options.verify_hostname = verify;
    options.max_h2_streams = definition.max_streams as usize;
    match definition.protocol {
        Protocol::Http1 => options.set_http_version(1, 1),
        Protocol::Http2 => options.set_http_version(2, 2),
    }
    peer.group_key = group(cluster);
    Ok(Box::new(peer))
}

/// Bounds each wait of a try by what is left of its route's time.
pub fn bound(peer: &mut HttpPeer, left: Duration) {
    let options = &mut peer.options;
    for limit in [&mut options.connection_timeout, &mut options.total_connection_timeout] {
        *limit = Some(limit.map_or(left, |it| it.min(left)));
    }
    options.read_timeout = Some(left);
    options.write_timeout = Some(left);
}

/// What must be the same for two requests to share a connection and Pingora's own key leaves out.
fn group(cluster: &Cluster) -> u64 {
    let definition = cluster.definition();
    let mut hasher = DefaultHasher::new();
    (definition.protocol, &definition.tls).hash(&mut hasher);
    hasher.finish()
}
