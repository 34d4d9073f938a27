//! Runs a connection: waits for each request behind the guard and gives it to Pingora.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use http::Version;
use pingora::apps::{HttpServerApp as _, ServerApp as _};
use pingora::protocols::SocketDigest;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::{apps::HttpServerOptions, protocols::http::v2::server::default_h2_options};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::door::{Door, Entered, Outcome, Purpose};
use super::dynamic::Dynamic;
use super::gateway::{ServeInside, Served};
use super::tcp::ServeTcp;
use super::{Gateway, MAX_TRIES};
use crate::listener::accept::{Accepted, Serve};
use crate::listener::client_io::ClientIo;
use crate::listener::connection::{Connection, Secured};
use crate::listener::http1::head::Role;
use crate::listener::limits::{ConnectionLimits, MAX_REQUESTS_PER_CONNECTION};
use crate::listener::stream::{Arrival, GuardedStream};
use crate::local_reply::{LocalReply, Reason};
use crate::snapshot::{AccessLog, Live};
use crate::telemetry::Telemetry;
use crate::telemetry::series::{DestinationLabels, Observation};
use crate::telemetry::template::{Facts, Field};
use crate::upstream::client::Client;
use crate::upstream::dns::Resolver;

/// Connections that a worker keeps to upstreams while nobody uses them.
const UPSTREAM_POOL: usize = 4096;

/// Serves the connections of one worker, HTTP and TCP.
pub struct ServeHttp {
    run: Arc<Run>,
    runtime: Handle,
}

impl ServeHttp {
    /// The service of one worker, whose tasks run on `runtime`.
    pub fn new(
        (live, telemetry): (Arc<Live>, Arc<Telemetry>),
        worker: usize,
        runtime: Handle,
        resolver: Resolver,
    ) -> Self {
        let conf = ServerConf {
            threads: 1,
            max_retries: MAX_TRIES,
            upstream_keepalive_pool_size: UPSTREAM_POOL,
            ..ServerConf::default()
        };
        let client = Arc::new(Client::default());
        let shared = (Arc::clone(&live), Arc::clone(&telemetry));
        let dynamic = Arc::new(Dynamic::new(resolver));
        let run = Arc::new_cyclic(|run: &Weak<Run>| {
            let tools = (Arc::clone(&client), Arc::clone(&dynamic));
            let gateway = Gateway::new(shared, worker, tools, Weak::<Run>::clone(run));
            let door = Door::new(Arc::clone(&gateway.turns));
            let proxy = Arc::new(http_proxy(gateway, conf));
            Run { proxy, live, telemetry, worker, client, dynamic, door }
        });
        Self { run, runtime }
    }
}

/// Pingora's part of it.
fn http_proxy(gateway: Gateway, conf: ServerConf) -> HttpProxy<Gateway> {
    let mut proxy = HttpProxy::new(gateway, Arc::new(conf));
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    options.allow_connect_method_proxying = true;
    options.keepalive_request_limit = Some(MAX_REQUESTS_PER_CONNECTION);
    options.h2_idle_timeout = Some(ConnectionLimits::default().idle_timeout);
    proxy.server_options = Some(options);
    proxy.h2_options = Some(default_h2_options());
    proxy.handle_init_modules();
    proxy
}

impl Serve for ServeHttp {
    fn serve(&self, accepted: Accepted) {
        self.runtime.spawn(Arc::clone(&self.run).connection(accepted));
    }
}

/// What the connections of one worker work with.
struct Run {
    proxy: Arc<HttpProxy<Gateway>>,
    live: Arc<Live>,
    telemetry: Arc<Telemetry>,
    worker: usize,
    client: Arc<Client>,
    dynamic: Arc<Dynamic>,
    door: Door,
}

type Stream = Box<GuardedStream<ClientIo>>;

impl Run {
    async fn connection(self: Arc<Self>, accepted: Accepted) {
        let (mut accepted, stream) = accepted.exchange(());
        let handshakes = &self.telemetry.metrics.tls.handshakes;
        let count = |it: Outcome| handshakes.with_label_values(&[it.name()]).inc();
        let snapshot = self.live.pin();
        // Boxed, as what a connection is for a while only: one that idles shall not keep room for it.
        let entering = Box::pin(self.door.enter(stream, &mut accepted, &snapshot, count));
        let Some(entered) = entering.await else { return };
        drop(snapshot);
        let Entered { io, secured, purpose } = entered;
        let (accepted, ()) = accepted.exchange(io);
        match purpose {
            Purpose::Http => self.requests(accepted, Role::Server, secured).await,
            Purpose::Proxy => self.requests(accepted, Role::Proxy, secured).await,
            Purpose::Tcp(route) => {
                let live = Arc::clone(&self.live);
                let (telemetry, client) = (Arc::clone(&self.telemetry), Arc::clone(&self.client));
                let dynamic = Arc::clone(&self.dynamic);
                let tcp = ServeTcp { live, telemetry, worker: self.worker, client, dynamic };
                Box::pin(tcp.connection(accepted, secured, route)).await;
            }
        }
    }

    async fn requests(&self, accepted: Accepted<ClientIo>, role: Role, secured: Option<Secured>) {
        let Accepted { stream, listener, local, peer, closing, place } = accepted;
        self.http(stream, Connection::new((listener, role), local, peer, closing, secured)).await;
        drop(place);
    }

    async fn http(&self, stream: ClientIo, connection: Arc<Connection>) {
        let digest = stream.fd().map(|it| {
            let digest = SocketDigest::from_raw_fd(it);
            // Asked for by each request; without this each would be a system call.
            drop(digest.peer_addr.set(Some(PeerAddr::Inet(connection.peer))));
            drop(digest.local_addr.set(Some(PeerAddr::Inet(connection.local))));
            Arc::new(digest)
        });
        let mut closing = connection.closing.clone();
        let id = stream.fd().unwrap_or_default();
        let mut stream = Box::new(GuardedStream::new(stream, connection, digest, id));
        let mut limits = self.live.pin().settings.connections;
        // A connection that says nothing at all is not idle yet, it is late.
        let mut patience = limits.head_timeout;
        loop {
            let arrival = tokio::select! {
                biased;
                arrival = stream.read_head(patience, limits.head_timeout) => arrival,
                _ = closing.wait_for(|it| *it) => Arrival::Gone,
            };
            match arrival {
                Arrival::Gone => {
                    stream.say_goodbye().await;
                    break;
                }
                Arrival::Refused(reason) => {
                    Box::pin(self.refuse(&mut stream, reason)).await;
                    break;
                }
                Arrival::H2 => {
                    drop(self.proxy.process_new(stream, &closing).await);
                    break;
                }
                Arrival::Request => {}
            }
            match self.request(stream, &closing, limits.idle_timeout).await {
                Some(it) => stream = it,
                None => break,
            }
            limits = self.live.pin().settings.connections;
            patience = limits.idle_timeout;
        }
    }

    /// One request; the stream comes back when another may follow.
    async fn request(&self, stream: Stream, closing: &watch::Receiver<bool>, idle: Duration) -> Option<Stream> {
        let mut session = ServerSession::new_http1(stream);
        // The guard keeps the real time; Pingora only has to know that the connection may stay.
        session.set_keepalive((!*closing.borrow()).then_some(idle.as_secs().max(1)));
        let reused = self.proxy.process_new_http(session, closing).await?;
        let (stream, _) = reused.consume();
        stream.into_any().downcast::<GuardedStream<ClientIo>>().ok()
    }

    /// Answers a head that no request could be made of.
    async fn refuse(&self, stream: &mut Stream, reason: Reason) {
        let started = (Instant::now(), SystemTime::now());
        stream.answer_and_close(&LocalReply::because(reason).render_and_close()).await;
        let snapshot = self.live.pin();
        let connection = Arc::clone(stream.connection());
        let (received, sent) = connection.take_wire_bytes();
        self.telemetry.series.observe(&Observation {
            destination: DestinationLabels::Unknown,
            status: reason.status(),
            flag: reason.flag(),
            is_grpc: false,
            grpc_status: None,
            duration: started.0.elapsed(),
            received,
            sent,
        });
        if let AccessLog::On { file: _, format } = &snapshot.settings.access_log {
            let facts = RefusedFacts { reason, connection: &connection, time: started.1 };
            self.telemetry.access_log.append(self.worker, |line| format.render(&facts, line));
        }
    }
}

impl ServeInside for Run {
    fn serve(self: Arc<Self>, io: ClientIo, connection: Arc<Connection>) -> Served {
        Box::pin(async move { self.http(io, connection).await })
    }
}

/// What is known of a request whose head was refused.
struct RefusedFacts<'a> {
    reason: Reason,
    connection: &'a Connection,
    time: SystemTime,
}

impl Facts for RefusedFacts<'_> {
    fn write(&self, field: &Field, out: &mut Vec<u8>) -> bool {
        let text = match field {
            Field::StartTime(format) => {
                format.write(self.time, out);
                return true;
            }
            Field::Protocol => super::facts::protocol(Version::HTTP_11).to_owned(),
            Field::ResponseCode => self.reason.status().to_string(),
            Field::ResponseFlags => self.reason.flag().to_owned(),
            Field::ResponseCodeDetails => self.reason.details().to_owned(),
            Field::BytesReceived | Field::BytesSent | Field::Duration => "0".to_owned(),
            Field::RequestedServerName => match &self.connection.secured {
                Some(secured) => secured.server_name.to_string(),
                None => return false,
            },
            Field::DownstreamLocalAddress => self.connection.local.to_string(),
            Field::DownstreamRemoteAddress | Field::DownstreamDirectRemoteAddress => self.connection.peer.to_string(),
            Field::Request(..)
            | Field::Response(..)
            | Field::ConnectionTerminationDetails
            | Field::UpstreamTransportFailureReason
            | Field::ResponseDuration
            | Field::UpstreamHost
            | Field::UpstreamCluster
            | Field::UpstreamLocalAddress
            | Field::DownstreamLocalAddressWithoutPort
            | Field::DownstreamLocalPort
            | Field::DownstreamRemoteAddressWithoutPort
            | Field::DownstreamDirectRemoteAddressWithoutPort
            | Field::RouteName
            | Field::Hostname
            | Field::Absent => return false,
        };
        out.extend_from_slice(text.as_bytes());
        true
    }
}
