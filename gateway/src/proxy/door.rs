//! Brings a connection from its first byte to where HTTP or TCP begins: PROXY header, TLS handshake.
//!
//! All of it has one deadline. Handshakes under way are bounded in number, and what they cost
//! is done in [`Turns`], so that a flood of them cannot hold up those who are in already.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustls_pki_types::UnixTime;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::server::{StartHandshake, TlsStream};

use crate::listener::accept::Accepted;
use crate::listener::client_io::{Begun, ClientIo};
use crate::listener::connection::Secured;
use crate::listener::proxy_protocol;
use crate::listener::tls::config::Ready;
use crate::listener::tls::hello::{self, Alert, Bad, Hello};
use crate::listener::tls::server::{State, TlsServer};
use crate::listener::tls::turns::Turns;
use crate::routing::tcp::TcpRoute;
use crate::snapshot::tls_table::{Chain, TlsTable};
use crate::snapshot::{Proxy, ProxyProtocol, Service, Snapshot};

/// Bound on everything before HTTP or TCP begins.
const DEADLINE: Duration = Duration::from_secs(15);
/// Most handshakes of one worker under way.
const MAX_HANDSHAKES: usize = 8192;

/// What connections of one worker pass through.
pub(super) struct Door {
    handshakes: Semaphore,
    turns: Arc<Turns>,
}

/// A connection that came through.
pub(super) struct Entered {
    pub(super) io: ClientIo,
    pub(super) secured: Option<Secured>,
    pub(super) purpose: Purpose,
}

/// What it is for.
pub(super) enum Purpose {
    /// Requests.
    Http,
    /// Requests and tunnels to destinations elsewhere.
    Proxy,
    /// Being passed on, by this route if there is one.
    Tcp(Option<Arc<TcpRoute>>),
}

impl Entered {
    /// One without TLS, of which `early` was read.
    fn plain(stream: TcpStream, early: Bytes, purpose: Purpose) -> Self {
        Self { io: ClientIo::Plain(Begun::new(stream, early)), secured: None, purpose }
    }
}

/// How connections of a port begin.
enum Beginning<'a> {
    /// Without TLS.
    Plain(Purpose),
    /// In TLS.
    Tls(Behind<'a>),
}

/// What is behind TLS.
#[derive(Clone, Copy)]
enum Behind<'a> {
    /// Servers by their names.
    Names(&'a TlsTable),
    /// A forward proxy, whatever name it is called by.
    Proxy(&'a Arc<TlsServer>),
}

/// What becomes of a connection in TLS.
enum Choice<'a> {
    PassThrough(&'a Arc<TcpRoute>),
    /// Its TLS ends here.
    End(&'a TlsServer, Purpose),
}

impl<'a> Behind<'a> {
    /// What becomes of a connection that asks for a name; `None` where nobody has it.
    fn choose(self, name: &str) -> Option<Choice<'a>> {
        Some(match self {
            Self::Proxy(server) => Choice::End(server, Purpose::Proxy),
            Self::Names(table) => match table.find(name)?.as_ref() {
                Chain::PassThrough(route) => Choice::PassThrough(route),
                Chain::Http { server, hosts: _ } => Choice::End(server, Purpose::Http),
                Chain::Tcp { server, route } => Choice::End(server, Purpose::Tcp(route.clone())),
            },
        })
    }
}

/// How the beginning of a connection on a TLS port ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Established,
    PassedThrough,
    /// No server has the name that was asked for.
    NoServer,
    /// The server has nothing to show.
    NoCertificate,
    /// What came is no TLS.
    Malformed,
    /// The client left, or refused what it was shown.
    Failed,
    TimedOut,
    /// Too many others were at it.
    Refused,
}

impl Outcome {
    /// Its name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::PassedThrough => "passed_through",
            Self::NoServer => "no_server",
            Self::NoCertificate => "no_certificate",
            Self::Malformed => "malformed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
        }
    }
}

impl Door {
    /// The door of a worker, whose handshakes take these turns.
    pub(super) fn new(turns: Arc<Turns>) -> Self {
        Self { handshakes: Semaphore::new(MAX_HANDSHAKES), turns }
    }

    /// Brings a connection in; who it is from may change on the way. `count` hears how TLS began.
    pub(super) async fn enter(
        &self,
        stream: TcpStream,
        accepted: &mut Accepted<()>,
        snapshot: &Snapshot,
        count: impl Fn(Outcome),
    ) -> Option<Entered> {
        let listener = snapshot.listener(accepted.listener).map(Arc::clone);
        let beginning = match listener.as_deref().map(|it| &it.service) {
            Some(Service::Tls(table)) => Beginning::Tls(Behind::Names(table)),
            Some(Service::Proxy(Proxy { ways: _, server: Some(server), interceptions: _ })) => {
                Beginning::Tls(Behind::Proxy(server))
            }
            Some(Service::Proxy(Proxy { ways: _, server: None, interceptions: _ })) => Beginning::Plain(Purpose::Proxy),
            Some(Service::Tcp(route)) => Beginning::Plain(Purpose::Tcp(route.clone())),
            Some(Service::Http(_)) | None => Beginning::Plain(Purpose::Http),
        };
        let is_named = match &snapshot.settings.proxy_protocol {
            ProxyProtocol::Off => false,
            ProxyProtocol::From(networks) => networks.hold(accepted.peer.ip()),
        };
        let behind = match beginning {
            Beginning::Plain(purpose) if !is_named => return Some(Entered::plain(stream, Bytes::new(), purpose)),
            Beginning::Plain(purpose) => {
                // Boxed, as all that a connection waits for here: one that has nothing to wait for does not carry it.
                let named = Box::pin(tokio::time::timeout(DEADLINE, named(stream, accepted)));
                let (stream, early) = named.await.ok().flatten()?;
                return Some(Entered::plain(stream, early, purpose));
            }
            Beginning::Tls(behind) => behind,
        };
        let inside = async {
            let (stream, early) = if is_named { named(stream, accepted).await? } else { (stream, Bytes::new()) };
            let Ok(_place) = self.handshakes.try_acquire() else {
                count(Outcome::Refused);
                return None;
            };
            let (entered, outcome) = match self.secure(stream, early, behind).await {
                Ok((entered, outcome)) => (Some(entered), outcome),
                Err(outcome) => (None, outcome),
            };
            count(outcome);
            entered
        };
        Box::pin(tokio::time::timeout(DEADLINE, inside)).await.unwrap_or_else(|_| {
            count(Outcome::TimedOut);
            None
        })
    }

    /// Reads the first message, and does what the server that it asks for does with it.
    async fn secure(
        &self,
        mut stream: TcpStream,
        early: Bytes,
        behind: Behind<'_>,
    ) -> Result<(Entered, Outcome), Outcome> {
        let Hello { server_name, bytes, accepted } = match hello::read(&mut stream, &early, &self.turns).await {
            Ok(hello) => hello,
            Err(Bad::Gone(_)) => return Err(Outcome::Failed),
            Err(Bad::Refused(told)) => {
                tell(&mut stream, &told).await;
                return Err(Outcome::Malformed);
            }
        };
        let (server, purpose) = match behind.choose(&server_name) {
            Some(Choice::End(server, purpose)) => (server, purpose),
            Some(Choice::PassThrough(route)) => {
                let secured = Secured { server_name, verification: 0, client: None };
                let io = ClientIo::Plain(Begun::new(stream, bytes));
                let purpose = Purpose::Tcp(Some(Arc::clone(route)));
                return Ok((Entered { io, secured: Some(secured), purpose }, Outcome::PassedThrough));
            }
            None => {
                tell(&mut stream, &hello::alert(Alert::UnrecognizedName)).await;
                return Err(Outcome::NoServer);
            }
        };
        let state = server.state();
        let ready = match state.as_ref() {
            State::Ready(ready) => ready,
            State::Unavailable(_) => {
                tell(&mut stream, &hello::alert(Alert::InternalError)).await;
                return Err(Outcome::NoCertificate);
            }
        };
        let start = StartHandshake::from_parts(accepted, Begun::new(stream, Bytes::new()));
        let handshake = start.into_stream(Arc::clone(&ready.config));
        let stream = self.turns.begin(handshake).await.map_err(|_| Outcome::Failed)?;
        let secured = Some(found(&stream, server_name, server, ready));
        Ok((Entered { io: ClientIo::Tls(Box::new(stream)), secured, purpose }, Outcome::Established))
    }
}

/// Learns the client from a PROXY header.
async fn named(mut stream: TcpStream, accepted: &mut Accepted<()>) -> Option<(TcpStream, Bytes)> {
    let told = proxy_protocol::read(&mut stream).await.ok()?;
    if let Some((client, own)) = told.addresses {
        (accepted.peer, accepted.local) = (client, own);
    }
    Some((stream, told.rest))
}

/// Says the last word on a connection; a client that is gone does not hear it.
async fn tell(stream: &mut TcpStream, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() {
        stream.shutdown().await.unwrap_or_default();
    }
}

/// What the handshake found.
fn found(stream: &TlsStream<Begun>, server_name: Box<str>, server: &TlsServer, ready: &Ready) -> Secured {
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let client = ready.verifier.as_ref().and_then(|it| it.identify(shown, UnixTime::since_unix_epoch(now)));
    Secured { server_name, verification: server.verification(), client }
}
