//! Says what each `%COMMAND%` stands for in one exchange.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use http::{HeaderMap, Version, header};
use pingora::Error;
use pingora::protocols::http::ServerSession;

use super::exchange::Exchange;
use super::outcome;
use super::tcp::Outline;
use crate::telemetry::template::{Facts, Field, HeaderRef};
use crate::upstream::address::Address;

/// An exchange with its session.
pub(super) struct RequestFacts<'a> {
    pub(super) session: &'a ServerSession,
    pub(super) exchange: &'a Exchange,
    /// The error it ended with.
    pub(super) error: Option<&'a Error>,
    /// The worker it runs on.
    pub(super) worker: usize,
}

impl Facts for RequestFacts<'_> {
    fn write(&self, field: &Field, out: &mut Vec<u8>) -> bool {
        match field {
            Field::Request(first, second) => {
                self.request(first, out) || second.as_ref().is_some_and(|it| self.request(it, out))
            }
            Field::Response(first, second) => {
                self.response(first, out) || second.as_ref().is_some_and(|it| self.response(it, out))
            }
            Field::StartTime(format) => {
                format.write(self.exchange.time, out);
                true
            }
            Field::Protocol => text(protocol(self.session.req_header().version), out),
            Field::ResponseCode => number(outcome::status(self.session), out),
            Field::ResponseFlags => text(outcome::flag(self.exchange, self.error), out),
            Field::ResponseCodeDetails => text(outcome::details(self.session, self.exchange, self.error), out),
            Field::UpstreamTransportFailureReason => text(&self.exchange.end.transport, out),
            Field::BytesReceived => number(self.session.body_bytes_read() as u64 + self.tunnelled().0, out),
            Field::BytesSent => number(self.session.body_bytes_sent() as u64 + self.tunnelled().1, out),
            Field::Duration => number((Instant::now() - self.exchange.started).as_millis(), out),
            Field::ResponseDuration => self.exchange.attempts.first_byte.is_some_and(|it| number(it.as_millis(), out)),
            Field::UpstreamHost => self.upstream_host(out),
            Field::UpstreamCluster => self.upstream_cluster(out),
            Field::UpstreamLocalAddress => self.exchange.attempts.local.is_some_and(|it| socket(it, out)),
            Field::DownstreamLocalAddress => self.exchange.known().is_some_and(|it| socket(it.connection.local, out)),
            Field::DownstreamLocalAddressWithoutPort => {
                self.exchange.known().is_some_and(|it| ip(it.connection.local.ip(), out))
            }
            Field::DownstreamLocalPort => {
                self.exchange.known().is_some_and(|it| number(it.connection.listener.port, out))
            }
            Field::DownstreamRemoteAddress => self.client(out, true),
            Field::DownstreamRemoteAddressWithoutPort => self.client(out, false),
            Field::DownstreamDirectRemoteAddress => {
                self.exchange.known().is_some_and(|it| socket(it.connection.peer, out))
            }
            Field::DownstreamDirectRemoteAddressWithoutPort => {
                self.exchange.known().is_some_and(|it| ip(it.connection.peer.ip(), out))
            }
            Field::RouteName => self.exchange.route().is_some_and(|it| text(&it.name, out)),
            Field::Hostname => text(&self.exchange.snapshot.settings.node.name, out),
            Field::RequestedServerName => self
                .exchange
                .known()
                .is_some_and(|it| it.connection.secured.as_ref().is_some_and(|it| text(&it.server_name, out))),
            Field::ConnectionTerminationDetails | Field::Absent => false,
        }
    }
}

impl RequestFacts<'_> {
    /// Bytes of a tunnel: from the client, and to it.
    fn tunnelled(&self) -> (u64, u64) {
        self.exchange.leaving.as_ref().map_or((0, 0), |it| it.bytes)
    }

    fn upstream_host(&self, out: &mut Vec<u8>) -> bool {
        match self.exchange.leaving.as_ref().and_then(|it| it.endpoint) {
            Some(endpoint) => socket(endpoint, out),
            None => self.exchange.attempts.endpoint().is_some_and(|it| place(&it.address, out)),
        }
    }

    fn upstream_cluster(&self, out: &mut Vec<u8>) -> bool {
        match &self.exchange.leaving {
            Some(leaving) => text(&leaving.cluster, out),
            None => self.exchange.forward().is_some_and(|(_, it)| text(it.target.name(), out)),
        }
    }

    fn request(&self, header: &HeaderRef, out: &mut Vec<u8>) -> bool {
        let request = self.session.req_header();
        match header {
            HeaderRef::Field(name) => field(&request.headers, name, out),
            HeaderRef::Method => text(request.method.as_str(), out),
            HeaderRef::Path => {
                out.extend_from_slice(request.raw_path());
                true
            }
            HeaderRef::Authority => match request.uri.authority() {
                Some(it) => text(it.as_str(), out),
                None => field(&request.headers, &header::HOST, out),
            },
            HeaderRef::Scheme => self.exchange.known().is_some_and(|it| text(it.scheme.as_str(), out)),
            HeaderRef::Status => false,
        }
    }

    fn response(&self, header: &HeaderRef, out: &mut Vec<u8>) -> bool {
        let Some(response) = self.session.response_written() else { return false };
        match header {
            // Envoy's own header, which is not sent here: the same time is known without it.
            HeaderRef::Field(name) if name == "x-envoy-upstream-service-time" => {
                self.exchange.attempts.first_byte.is_some_and(|it| number(it.as_millis(), out))
            }
            HeaderRef::Field(name) => field(&response.headers, name, out),
            HeaderRef::Status => number(response.status.as_u16(), out),
            HeaderRef::Method | HeaderRef::Path | HeaderRef::Authority | HeaderRef::Scheme => false,
        }
    }

    /// The client behind trusted proxies; its port is known only when it is the peer.
    fn client(&self, out: &mut Vec<u8>, with_port: bool) -> bool {
        let Some(known) = self.exchange.known() else { return false };
        let address: IpAddr = known.address;
        let is_peer = known.connection.peer.ip().to_canonical() == address;
        if !with_port {
            return ip(address, out);
        }
        let port = if is_peer { known.connection.peer.port() } else { 0 };
        socket(SocketAddr::new(address, port), out)
    }
}

/// A TCP connection that ended.
pub(super) struct TcpFacts<'a> {
    pub(super) outline: &'a Outline,
}

impl Facts for TcpFacts<'_> {
    fn write(&self, field: &Field, out: &mut Vec<u8>) -> bool {
        let Outline { accepted: (local, peer), secured, started, cluster, endpoint, flag, received, sent } =
            self.outline;
        match field {
            Field::StartTime(format) => {
                format.write(started.1, out);
                true
            }
            // No response, as Envoy logs connections.
            Field::ResponseCode => number(0, out),
            Field::ResponseFlags => text(flag, out),
            Field::BytesReceived => number(*received, out),
            Field::BytesSent => number(*sent, out),
            Field::Duration => number(started.0.elapsed().as_millis(), out),
            Field::UpstreamHost => endpoint.as_ref().is_some_and(|it| place(&it.address, out)),
            Field::UpstreamCluster => text(cluster, out),
            Field::RequestedServerName => secured.as_ref().is_some_and(|it| text(&it.server_name, out)),
            Field::DownstreamLocalAddress => socket(*local, out),
            Field::DownstreamLocalAddressWithoutPort => ip(local.ip(), out),
            Field::DownstreamLocalPort => number(local.port(), out),
            Field::DownstreamRemoteAddress | Field::DownstreamDirectRemoteAddress => socket(*peer, out),
            Field::DownstreamRemoteAddressWithoutPort | Field::DownstreamDirectRemoteAddressWithoutPort => {
                ip(peer.ip(), out)
            }
            Field::Request(..)
            | Field::Response(..)
            | Field::Protocol
            | Field::ResponseCodeDetails
            | Field::ConnectionTerminationDetails
            | Field::UpstreamTransportFailureReason
            | Field::ResponseDuration
            | Field::UpstreamLocalAddress
            | Field::RouteName
            | Field::Hostname
            | Field::Absent => false,
        }
    }
}

/// The version as logs name it.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

fn field(headers: &HeaderMap, name: &header::HeaderName, out: &mut Vec<u8>) -> bool {
    let Some(value) = headers.get(name) else { return false };
    out.extend_from_slice(value.as_bytes());
    true
}

fn text(text: &str, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(text.as_bytes());
    !text.is_empty()
}

/// A number and an address come in every line, so they are written without going through [`std::fmt`].
fn number(value: impl itoa::Integer, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    true
}

pub(super) fn ip(address: IpAddr, out: &mut Vec<u8>) -> bool {
    match address {
        IpAddr::V4(it) => {
            for (index, octet) in it.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(octet, out);
            }
            true
        }
        IpAddr::V6(it) => text(&it.to_string(), out),
    }
}

fn socket(address: SocketAddr, out: &mut Vec<u8>) -> bool {
    match address {
        SocketAddr::V4(it) => {
            ip(IpAddr::V4(*it.ip()), out);
            out.push(b':');
            number(it.port(), out)
        }
        SocketAddr::V6(it) => text(&it.to_string(), out),
    }
}

fn place(address: &Address, out: &mut Vec<u8>) -> bool {
    match address {
        Address::Inet(it) => socket(*it, out),
        Address::Unix(it) => text(&it.to_string_lossy(), out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for text in ["0.0.0.0:0", "203.0.113.255:65535", "10.2.30.4:80", "[2001:db8::1]:443", "[::ffff:1.2.3.4]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut out = Vec::new();
            assert!(socket(address, &mut out));
            assert_eq!(out, text.as_bytes());
            out.clear();
            assert!(ip(address.ip(), &mut out));
            assert_eq!(out, address.ip().to_string().as_bytes());
        }
    }
}
