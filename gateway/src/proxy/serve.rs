//! Runs a connection: waits for each request behind the guard and gives it to Pingora.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use http::Version;
use pingora::apps::{HttpServerApp as _, ServerApp as _};
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::{apps::HttpServerOptions, protocols::http::v2::server::default_h2_options};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::door::{Door, Entered, Outcome, Purpose};
use super::dynamic::Dynamic;
use super::exchange::ClientStream;
use super::gateway::{ServeInside, Served};
use super::tcp::ServeTcp;
use super::{Gateway, MAX_TRIES, serve_connect};
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
        let tools = (Arc::new(Client::default()), Arc::new(Dynamic::new(resolver)));
        let run = Arc::new_cyclic(|run: &Weak<Run>| {
            let gateway = Gateway::new((live, telemetry), worker, tools, Weak::<Run>::clone(run));
            let door = Door::new(Arc::clone(&gateway.turns));
            let proxy = Arc::new(http_proxy(gateway.clone(), conf));
            Run { proxy, gateway, door }
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
        // Boxed, since tasks are moved when they end.
        self.runtime.spawn(Box::pin(Arc::clone(&self.run).connection(accepted)));
    }
}

/// What the connections of one worker work with.
struct Run {
    proxy: Arc<HttpProxy<Gateway>>,
    gateway: Gateway,
    door: Door,
}

impl Run {
    async fn connection(self: Arc<Self>, accepted: Accepted) {
        let (mut accepted, stream) = accepted.exchange(());
        let handshakes = &self.gateway.telemetry.metrics.tls.handshakes;
        let count = |it: Outcome| handshakes.with_label_values(&[it.name()]).inc();
        let snapshot = self.gateway.live.pin();
        let Some(entered) = self.door.enter(stream, &mut accepted, &snapshot, count).await else { return };
        drop(snapshot);
        let Entered { io, secured, purpose } = entered;
        let (accepted, ()) = accepted.exchange(io);
        match purpose {
            Purpose::Http => self.requests(accepted, Role::Server, secured).await,
            Purpose::Proxy => self.requests(accepted, Role::Proxy, secured).await,
            Purpose::Tcp(route) => Box::pin(ServeTcp(&self.gateway).connection(accepted, secured, route)).await,
        }
    }

    async fn requests(&self, accepted: Accepted<ClientIo>, role: Role, secured: Option<Secured>) {
        let Accepted { stream, listener, local, peer, closing, place } = accepted;
        self.http(stream, Connection::new((listener, role), local, peer, closing, secured)).await;
        drop(place);
    }

    async fn http(&self, stream: ClientIo, connection: Arc<Connection>) {
        let mut closing = connection.closing.clone();
        let socket = stream.fd();
        let mut stream = Box::new(GuardedStream::new(stream, connection, socket));
        let mut limits = self.gateway.live.pin().settings.connections;
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
            limits = self.gateway.live.pin().settings.connections;
            patience = limits.idle_timeout;
        }
    }

    /// One request; the stream comes back when another may follow.
    async fn request(
        &self,
        stream: ClientStream,
        closing: &watch::Receiver<bool>,
        idle: Duration,
    ) -> Option<ClientStream> {
        if stream.asks_for_tunnel() {
            return self.tunnel(stream).await;
        }
        let mut session = ServerSession::new_http1(stream);
        // The guard keeps the real time; Pingora only has to know that the connection may stay.
        session.set_keepalive((!*closing.borrow()).then_some(idle.as_secs().max(1)));
        let reused = self.proxy.process_new_http(session, closing).await?;
        let (stream, _) = reused.consume();
        stream.into_any().downcast::<GuardedStream<ClientIo>>().ok()
    }

    /// One request for a tunnel; the stream comes back when none took it.
    async fn tunnel(&self, mut stream: ClientStream) -> Option<ClientStream> {
        match serve_connect::session(&mut stream) {
            // Boxed, so that other requests do not carry it.
            Ok(session) => Box::pin(serve_connect::serve(&self.gateway, stream, session)).await,
            Err(error) => {
                log::debug!("a head of CONNECT makes no request: {error}");
                Box::pin(self.refuse(&mut stream, Reason::MalformedHead)).await;
                None
            }
        }
    }

    /// Answers a head that no request could be made of.
    async fn refuse(&self, stream: &mut ClientStream, reason: Reason) {
        let started = (Instant::now(), SystemTime::now());
        stream.answer_and_close(&LocalReply::because(reason).render_and_close()).await;
        let snapshot = self.gateway.live.pin();
        let connection = Arc::clone(stream.connection());
        let (received, sent) = connection.take_wire_bytes();
        self.gateway.telemetry.series.observe(&Observation {
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
            self.gateway.telemetry.access_log.append(self.gateway.worker, |line| format.render(&facts, line));
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
