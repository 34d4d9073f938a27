//! Opens the connections of a cluster: within its bounds, in time, with its greeting.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::connectors::TransportConnector;
use pingora::connectors::l4::Connect;
use pingora::http::ResponseHeader;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::VirtualSocketStream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{Digest, GetProxyDigest as _};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::connection::{Connection, Unusable, Use};
use super::connections::{Connections, Overflow};
use super::definition::{Definition, Tls};
use super::limits::{Limits, Load};
use super::turns::Turns;

/// Makes connections that belong to no pool; made with the first, since it reads the system's authorities.
pub static TRANSPORT: LazyLock<TransportConnector> = LazyLock::new(|| TransportConnector::new(None));

/// What is known of a connection that was made, or found in a pool.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// What this module left on it.
    pub proxy: Option<&'a Arc<ProxyDigest>>,
    /// What the handshake found.
    pub tls: Option<&'a SslDigest>,
}

impl<'a> From<&'a Digest> for Made<'a> {
    fn from(digest: &'a Digest) -> Self {
        Self { proxy: digest.proxy_digest.as_ref(), tls: digest.ssl_digest.as_deref() }
    }
}

/// Counts a use of a connection to a cluster; it ends when what is returned is dropped.
///
/// Whoever works on a connection must hold one: one that nobody uses may be closed for another.
pub fn in_use(tls: &Tls, made: Made<'_>, now: impl Fn() -> Instant) -> std::result::Result<Option<Use>, Unusable> {
    if !tls.admits(made.tls) {
        return Err(Unusable::Revoked);
    }
    let connection = made.proxy.and_then(|it| it.user_data.as_ref()?.downcast_ref::<Arc<Connection>>());
    connection.map(|it| it.begin(now)).transpose()
}

/// Makes connections for the requests of a cluster.
#[derive(Debug)]
pub struct Dial {
    connections: Arc<Connections>,
    load: Arc<Load>,
    limits: Limits,
    connect_timeout: Duration,
    opening: Opening,
}

/// How a connection begins.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    /// Bytes that go before everything else.
    pub greeting: Box<[u8]>,
    /// Whether it will switch protocols.
    pub switches: bool,
}

impl Dial {
    /// For a cluster.
    pub fn new(definition: &Definition, connections: &Arc<Connections>, load: &Arc<Load>, opening: Opening) -> Self {
        Self {
            connections: Arc::clone(connections),
            load: Arc::clone(load),
            limits: definition.limits,
            connect_timeout: definition.pool.connect_timeout,
            opening,
        }
    }

    async fn open(&self, address: &SocketAddr, connection: &Connection) -> io::Result<Stream> {
        match address {
            SocketAddr::Inet(address) => {
                let stream = TcpStream::connect(address).await?;
                connection.made(&stream)?;
                greet(&stream, &self.opening.greeting).await?;
                stream.set_nodelay(true)?;
                Ok(if self.opening.switches { in_turns(stream) } else { stream.into() })
            }
            SocketAddr::Unix(address) => {
                let path = address.as_pathname().ok_or(io::ErrorKind::InvalidInput)?;
                let stream = UnixStream::connect(path).await?;
                connection.made(&stream)?;
                Ok(if self.opening.switches { in_turns(stream) } else { stream.into() })
            }
        }
    }
}

fn in_turns(stream: impl AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug + 'static) -> Stream {
    VirtualSocketStream::new(Box::new(Turns::new(stream))).into()
}

/// Writes what opens a connection.
async fn greet(stream: &TcpStream, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[async_trait]
impl Connect for Dial {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(connection) = self.connections.open(&self.load, &self.limits).await else {
            return Err(Error::because(ErrorType::ConnectError, "overflow", Overflow));
        };
        let opened = tokio::time::timeout(self.connect_timeout, self.open(address, &connection)).await;
        let mut stream = match opened {
            Err(_) => return Err(Error::explain(ErrorType::ConnectTimedout, "no connection in time")),
            Ok(Err(error)) => return Err(Error::because(kind(&error), "no connection", error)),
            Ok(Ok(stream)) => stream,
        };
        let head = Box::new(ResponseHeader::build(200, None)?);
        stream.set_proxy_digest(ProxyDigest::new(head, Some(Box::new(connection))));
        Ok(stream)
    }
}

fn kind(error: &io::Error) -> ErrorType {
    let kind = error.kind();
    if kind == io::ErrorKind::ConnectionRefused {
        ErrorType::ConnectRefused
    } else if matches!(kind, io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) {
        ErrorType::ConnectNoRoute
    } else if kind == io::ErrorKind::TimedOut {
        ErrorType::ConnectTimedout
    } else {
        ErrorType::ConnectError
    }
}
