//! What one request carries from its birth to its access log line, as states.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use pingora::Error;
use pingora::protocols::Digest;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::proxy::Session;

use super::attempt::Attempts;
use super::mirror::Copies;
use crate::filter::authentication::Identity;
use crate::filter::credential::Principal;
use crate::filter::external_authorization::Change;
use crate::filter::grpc_web::Bridge;
use crate::filter::rate_limit::Verdict;
use crate::listener::client_io::ClientIo;
use crate::listener::connection::Connection;
use crate::listener::set::ListenerKey;
use crate::listener::stream::GuardedStream;
use crate::local_reply::Reason;
use crate::quota::concurrency::Place;
use crate::routing::request::Scheme;
use crate::routing::route::{Action, Destination, Forward, Route, Target};
use crate::snapshot::Snapshot;
use crate::upstream::cluster::Cluster;
use crate::upstream::connection::Unusable;
use crate::upstream::dial::in_use;

/// A client's connection behind the guard.
pub(super) type ClientStream = Box<GuardedStream<ClientIo>>;

/// One request and what became of it.
pub struct Exchange {
    /// The configuration it was born under.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) started: Instant,
    pub(super) time: SystemTime,
    pub(super) client: Client,
    /// Its connection, where Pingora does not have it: a tunnel takes it, or a refusal is written to it.
    pub(super) stream: Option<ClientStream>,
    pub(super) way: Way,
    /// The cluster of its own host, where its route leads to a wildcard.
    pub(super) found: Option<Arc<Cluster>>,
    /// Name of its virtual host, `host:port`.
    pub(super) virtual_host: Option<Arc<str>>,
    /// Bound on the exchange from its forwarding on, retries included.
    pub(super) timeout: Option<(Duration, Reason)>,
    /// When that time is over.
    pub(super) deadline: Option<Instant>,
    /// How long a fault holds it back.
    pub(super) delay: Option<Duration>,
    pub(super) affinity: Affinity,
    pub(super) attempts: Attempts,
    /// Who asks, as a token says.
    pub(super) identity: Option<Arc<Identity>>,
    /// Who asks, as keys and passwords say.
    pub(super) credentials: Vec<Principal>,
    /// What a service that was asked adds to the answer.
    pub(super) granted: Vec<Change>,
    /// The beginning of the body, when it was read for such a service and Pingora does not have it.
    pub(super) held: Option<Bytes>,
    /// What rate limits say of it, if any are for it.
    pub(super) quota: Option<Box<Quota>>,
    /// Where it leaves for, by a forward proxy.
    pub(super) leaving: Option<Box<Leaving>>,
    /// Copies for others.
    pub(super) copies: Copies,
    /// Whether the answer that just came is not passed on, since another try follows.
    pub(super) repeats_answer: bool,
    /// The form in which the client speaks gRPC-Web, if it does.
    pub(super) bridge: Option<Bridge>,
    /// Whether the operator delayed it.
    pub(super) delayed: bool,
    pub(super) end: End,
}

/// Where a request leaves for, by a forward proxy.
#[derive(Default)]
pub(super) struct Leaving {
    /// Name of the cluster.
    pub(super) cluster: Arc<str>,
    /// Host, as the document has it.
    pub(super) host: Arc<str>,
    /// Namespace of the document.
    pub(super) namespace: Arc<str>,
    /// Why it would be refused, if policies were not only tried out.
    pub(super) would_deny: Option<Box<str>>,
    /// The end of a tunnel.
    pub(super) endpoint: Option<SocketAddr>,
    /// Bytes of a tunnel: from the client, and to it.
    pub(super) bytes: (u64, u64),
}

/// What rate limits say of a request.
#[derive(Default)]
pub(super) struct Quota {
    /// Each rule that it falls under.
    pub(super) verdicts: Vec<Verdict>,
    /// What limits of EnvoyFilters tell its client.
    pub(super) told: Vec<(HeaderName, HeaderValue)>,
    /// Its places among the requests in flight.
    pub(super) places: Vec<Place>,
}

/// Who asks.
pub(super) enum Client {
    /// Not met yet, or on no connection of ours.
    Unknown,
    /// On this connection.
    Known(KnownClient),
}

/// A client with a connection.
pub(super) struct KnownClient {
    pub(super) connection: Arc<Connection>,
    /// The client behind trusted proxies.
    pub(super) address: IpAddr,
    pub(super) scheme: Scheme,
}

/// Which route it takes.
pub(super) enum Way {
    /// None was looked for, or none was found.
    Nowhere,
    /// This one, which the gateway answers itself.
    Answered(Arc<Route>),
    /// This one, to one of its destinations.
    Forwarded(Arc<Route>, usize),
}

/// What ties a request to one endpoint.
#[derive(Default)]
pub(super) struct Affinity {
    /// The number of its key.
    pub(super) key: Option<u64>,
    /// The cookie that the client gets, so that it comes back with a key.
    pub(super) cookie: Option<HeaderValue>,
}

/// How it ended, as far as is known.
#[derive(Default)]
pub(super) struct End {
    /// Why the gateway answered or gave up; none when the upstream answered.
    pub(super) reason: Option<Reason>,
    /// Which rule refused it, in Envoy's words.
    pub(super) details: Option<Box<str>>,
    /// What the transport said.
    pub(super) transport: String,
    /// What the trailers of a gRPC call said.
    pub(super) grpc_status: Option<u8>,
}

impl Exchange {
    pub(super) fn new(snapshot: Arc<Snapshot>, started: Instant, time: SystemTime) -> Self {
        Self {
            snapshot,
            started,
            time,
            client: Client::Unknown,
            stream: None,
            way: Way::Nowhere,
            found: None,
            virtual_host: None,
            timeout: None,
            deadline: None,
            delay: None,
            affinity: Affinity::default(),
            attempts: Attempts::default(),
            identity: None,
            credentials: Vec::new(),
            granted: Vec::new(),
            held: None,
            quota: None,
            leaving: None,
            copies: Copies::default(),
            repeats_answer: false,
            bridge: None,
            delayed: false,
            end: End::default(),
        }
    }

    /// Learns which connection it came by.
    pub(super) fn meet(&mut self, session: &Session) {
        let digest = session.digest().and_then(|it| it.proxy_digest.as_ref());
        let connection = digest.and_then(|it| it.user_data.as_ref()?.downcast_ref::<Arc<Connection>>());
        if let Some(connection) = connection {
            self.came_by(Arc::clone(connection));
        }
    }

    /// Came by this connection.
    pub(super) fn came_by(&mut self, connection: Arc<Connection>) {
        let address = connection.peer.ip().to_canonical();
        self.client = Client::Known(KnownClient { connection, address, scheme: Scheme::Http });
    }

    pub(super) fn known(&self) -> Option<&KnownClient> {
        match &self.client {
            Client::Unknown => None,
            Client::Known(client) => Some(client),
        }
    }

    /// Names of its virtual host and its route, as EnvoyFilters know them.
    pub(super) fn place(&self) -> (Arc<str>, Arc<str>) {
        let route = self.route().map_or_else(|| Arc::from(""), |it| Arc::clone(&it.name));
        (self.virtual_host.clone().unwrap_or_else(|| Arc::from("")), route)
    }

    /// The cluster that its route leads to first.
    pub(super) fn destination_name(&self) -> String {
        let Some(Action::Forward(forward)) = self.route().map(|it| &it.action) else { return String::new() };
        forward.destinations.first().map(|it| it.target.name().to_owned()).unwrap_or_default()
    }

    /// The listener that it came in by.
    pub(super) fn client_listener(&self) -> Option<ListenerKey> {
        self.known().map(|it| it.connection.listener)
    }

    /// Whether its connection shall end after it.
    pub(super) fn is_closing(&self) -> bool {
        self.known().is_some_and(|it| *it.connection.closing.borrow())
    }

    pub(super) fn route(&self) -> Option<&Arc<Route>> {
        match &self.way {
            Way::Nowhere => None,
            Way::Answered(route) | Way::Forwarded(route, _) => Some(route),
        }
    }

    /// How and where it is forwarded.
    pub(super) fn forward(&self) -> Option<(&Forward, &Destination)> {
        let Way::Forwarded(route, index) = &self.way else { return None };
        match &route.action {
            Action::Forward(forward) => forward.destinations.get(*index).map(|it| (forward.as_ref(), it)),
            Action::Redirect(_) | Action::Respond(_, _) => None,
        }
    }

    /// What is left of the exchange's time; `None` when it has no bound.
    pub(super) fn time_left(&self, now: impl Fn() -> Instant) -> Option<Duration> {
        Some(self.deadline?.saturating_duration_since(now()))
    }

    /// What the end of its time is called.
    pub(super) fn late(&self) -> Reason {
        self.timeout.map_or(Reason::UpstreamTimeout, |(_, reason)| reason)
    }

    /// Notes why a try failed; the next one may still succeed.
    pub(super) fn fail(&mut self, reason: Reason, error: &Error) {
        self.end.reason = Some(reason);
        self.end.transport = error.etype().as_str().to_owned();
    }

    /// The endpoint is reached, by a connection that can be used or by one that must be left.
    pub(super) fn connected(&mut self, digest: Option<&Digest>, now: impl Fn() -> Instant) -> Result<(), Unusable> {
        self.end = End::default();
        if let (Some(digest), Some((_, destination))) = (digest, self.forward())
            && let Target::Cluster(cluster) = &destination.target
        {
            let taken = in_use(&cluster.definition().tls, digest.into(), now);
            self.attempts.again = taken.as_ref().err() == Some(&Unusable::Closing);
            self.attempts.connection = taken?;
            self.attempts.begin();
        }
        let local = digest.and_then(|it| it.socket_digest.as_ref()?.local_addr());
        self.attempts.local = match local {
            Some(PeerAddr::Inet(address)) => Some(*address),
            Some(PeerAddr::Unix(_)) | None => None,
        };
        Ok(())
    }

    /// The endpoint answered.
    pub(super) fn answered(&mut self, now: Instant) {
        self.attempts.clock = None;
        self.attempts.first_byte.get_or_insert(now - self.started);
    }
}
