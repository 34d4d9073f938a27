//! What is known of a client's connection, shared by its stream and its requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use tokio::sync::watch;

use super::http1::head::Role;
use super::set::ListenerKey;
use super::tls::certificate::ClientCertificate;
use crate::egress::target::Target;
use crate::filter::authentication::Identity;
use crate::filter::credential::Principal;
use crate::local_reply::Reason;

/// One connection of a client.
#[derive(Debug)]
pub struct Connection {
    /// The listener it came in by.
    pub listener: ListenerKey,
    /// What the listener is to its clients.
    pub role: Role,
    /// Address it was accepted on.
    pub local: SocketAddr,
    /// Address it came from.
    pub peer: SocketAddr,
    /// What its handshake found; absent in plain text.
    pub secured: Option<Secured>,
    /// The tunnel that it runs in, if it does.
    pub inside: Option<Tunnel>,
    /// Why its stream was ended by the guard, as a [`Fault`].
    fault: AtomicU8,
    upgraded: AtomicBool,
    /// Turns true when the connection shall end after its request.
    pub closing: watch::Receiver<bool>,
    received: AtomicU64,
    sent: AtomicU64,
}

/// What the handshake of a connection found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// Name of the server that was asked for, in lower case; empty when there was none.
    pub server_name: Box<str>,
    /// A number for the rules by which the client was judged.
    pub verification: u64,
    /// The certificate that the client showed.
    pub client: Option<ClientCertificate>,
}

/// The tunnel of a forward proxy that a connection runs in, since its TLS ended here.
#[derive(Debug)]
pub struct Tunnel {
    /// Where the client asked for a tunnel to; every request must be for the same.
    pub target: Target,
    /// The client behind trusted proxies.
    pub client: IpAddr,
    /// Who asked for the tunnel, as a token says.
    pub identity: Option<Arc<Identity>>,
    /// Who asked for it, as keys and passwords say.
    pub credentials: Vec<Principal>,
}

/// Why the guard ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The body breaks its framing.
    Malformed,
    /// The body stopped arriving.
    Idle,
    /// The client stopped taking bytes.
    Stalled,
}

impl Fault {
    /// What is answered, if anything still can be.
    pub fn reason(self) -> Reason {
        match self {
            Self::Malformed => Reason::MalformedBody,
            Self::Idle => Reason::BodyTimeout,
            Self::Stalled => Reason::ClientGone,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Malformed => 1,
            Self::Idle => 2,
            Self::Stalled => 3,
        }
    }
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(
        (listener, role): (ListenerKey, Role),
        local: SocketAddr,
        peer: SocketAddr,
        closing: watch::Receiver<bool>,
        secured: Option<Secured>,
    ) -> Arc<Self> {
        Arc::new(Self::bare((listener, role), (local, peer), closing, secured, None))
    }

    /// A connection that runs in a tunnel of this one, to a server that the gateway stands for.
    pub fn within(&self, server_name: Box<str>, tunnel: Tunnel) -> Arc<Self> {
        let client = self.secured.as_ref().and_then(|it| it.client.clone());
        let secured = Secured { server_name, verification: 0, client };
        let (listener, closing) = ((self.listener, Role::Server), self.closing.clone());
        Arc::new(Self::bare(listener, (self.local, self.peer), closing, Some(secured), Some(tunnel)))
    }

    fn bare(
        (listener, role): (ListenerKey, Role),
        (local, peer): (SocketAddr, SocketAddr),
        closing: watch::Receiver<bool>,
        secured: Option<Secured>,
        inside: Option<Tunnel>,
    ) -> Self {
        Self {
            listener,
            role,
            local,
            peer,
            secured,
            inside,
            fault: AtomicU8::new(0),
            upgraded: AtomicBool::new(false),
            closing,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// Notes why the stream ends.
    pub(super) fn set_fault(&self, fault: Fault) {
        self.fault.store(fault.code(), Ordering::Relaxed);
    }

    /// Why the guard ended the stream, if it did.
    pub fn fault(&self) -> Option<Fault> {
        let code = self.fault.load(Ordering::Relaxed);
        [Fault::Malformed, Fault::Idle, Fault::Stalled].into_iter().find(|it| it.code() == code)
    }

    /// Notes that another protocol took over, so that bytes pass unguarded from here on.
    pub fn set_upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// Whether another protocol took over.
    pub fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }

    /// Counts bytes read from the client.
    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes written to the client.
    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes on the wire since the last call: from the client and to it.
    pub fn take_wire_bytes(&self) -> (u64, u64) {
        (self.received.swap(0, Ordering::Relaxed), self.sent.swap(0, Ordering::Relaxed))
    }
}
