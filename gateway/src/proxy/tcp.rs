//! The life of a TCP connection: a destination, a connection to it, bytes both ways, a line in the log.

use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use pingora::protocols::Stream as Upstream;

use super::access;
use super::consult::{self, Tools};
use super::facts::TcpFacts;
use super::gateway::Gateway;
use crate::filter::external_authorization::Custom;
use crate::l4::relay::{self, Bounds, Carrier, End, Meter};
use crate::l4::tunnel;
use crate::listener::accept::Accepted;
use crate::listener::client_io::ClientIo;
use crate::listener::connection::Secured;
use crate::listener::set::ListenerKey;
use crate::local_reply::Reason;
use crate::routing::route::Target;
use crate::routing::tcp::TcpRoute;
use crate::snapshot::{AccessLog, Snapshot};
use crate::telemetry::series::DestinationLabels;
use crate::upstream::balancer::Draw;
use crate::upstream::cluster::Cluster;
use crate::upstream::connection::Use;
use crate::upstream::dial::{Made, TRANSPORT, in_use};
use crate::upstream::endpoint::{Endpoint, Lease};
use crate::upstream::hash;
use crate::upstream::outlier::Outcome;
use crate::upstream::peer::{self, Asker};

/// What a connection holds while it lasts: a place at its endpoint, and its own connection.
type Hold = (Lease, Option<Use>);

/// Serves TCP connections of one worker.
pub(super) struct ServeTcp<'a>(pub(super) &'a Gateway);

/// What is known of a connection when it ends.
pub(super) struct Outline {
    pub(super) accepted: (std::net::SocketAddr, std::net::SocketAddr),
    pub(super) secured: Option<Secured>,
    pub(super) started: (Instant, SystemTime),
    pub(super) cluster: String,
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) flag: &'static str,
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl ServeTcp<'_> {
    /// Serves one connection by a route.
    pub(super) async fn connection(
        self,
        accepted: Accepted<ClientIo>,
        secured: Option<Secured>,
        route: Option<Arc<TcpRoute>>,
    ) {
        let Accepted { stream, listener, local, peer, closing: _, place } = accepted;
        let mut outline = Outline {
            accepted: (local, peer),
            secured,
            started: (Instant::now(), SystemTime::now()),
            cluster: "-".to_owned(),
            endpoint: None,
            flag: "-",
            received: 0,
            sent: 0,
        };
        let snapshot = self.0.live.pin();
        let admitted = self.admits(&snapshot, &outline, listener).await;
        match route.as_ref().filter(|_| admitted).and_then(|it| it.pick(fastrand::u32(..))) {
            None if !admitted => outline.flag = Reason::Forbidden.flag(),
            None => outline.flag = Reason::NoRoute.flag(),
            Some(Target::Missing(name) | Target::Refused(name)) => {
                outline.cluster = name.to_string();
                outline.flag = Reason::NoCluster.flag();
            }
            Some(Target::Cluster(cluster)) => {
                let name = outline.secured.as_ref().map(|it| it.server_name.clone()).unwrap_or_default();
                match self.0.dynamic.find(cluster, &name).await {
                    Ok(Some(found)) => self.forward(stream, &found, &mut outline).await,
                    Ok(None) => self.forward(stream, cluster, &mut outline).await,
                    Err(fault) => outline.flag = Reason::Egress(fault).flag(),
                }
            }
        }
        drop(place);
        let snapshot = self.0.live.pin();
        if let AccessLog::On { file: _, format } = &snapshot.settings.access_log {
            self.0
                .telemetry
                .access_log
                .append(self.0.worker, |line| format.render(&TcpFacts { outline: &outline }, line));
        }
    }

    /// Whether those who are asked let it pass.
    async fn admits(&self, snapshot: &Snapshot, outline: &Outline, listener: ListenerKey) -> bool {
        let subject = access::of_outline(outline, listener);
        let metrics = &self.0.telemetry.metrics.access;
        if let Some(Custom { rules, provider }) = &snapshot.custom
            && rules.concerns(&subject)
        {
            let (local, peer) = outline.accepted;
            let tools = Tools { client: &self.0.client, metrics: &metrics.external };
            if !consult::admits_connection(provider, (peer, local), subject.principal, tools).await {
                return false;
            }
        }
        access::admits_connection(&snapshot.authorization, &subject, metrics)
    }

    async fn forward(&self, mut stream: ClientIo, cluster: &Cluster, outline: &mut Outline) {
        let definition = cluster.definition();
        let labels = DestinationLabels::Cluster {
            name: cluster.name(),
            host: &definition.host,
            namespace: &definition.namespace,
        };
        let counters = self.0.telemetry.tcp.counters(labels);
        counters.opened.inc();
        let (up, down) = (Meter::new(counters.received), Meter::new(counters.sent));
        outline.cluster = cluster.name().to_owned();
        outline.flag = match self.connect(cluster, outline).await {
            Err(reason) => reason.flag(),
            Ok((_hold, mut upstream)) => {
                let bounds = Bounds { idle: definition.pool.idle, age: definition.pool.max_age, bytes: None };
                match relay::relay(&mut stream, &mut upstream, bounds, (&up, &down)).await {
                    End::Done | End::Broken => "-",
                    End::Idle => "SI",
                    End::Aged => "DT",
                }
            }
        };
        (outline.received, outline.sent) = (up.bytes(), down.bytes());
        self.0.telemetry.tcp.close(labels, outline.flag);
    }

    /// A connection to an endpoint, counted as busy until the lease ends.
    async fn connect(&self, cluster: &Cluster, outline: &mut Outline) -> Result<(Hold, Upstream), Reason> {
        let (own, client) = outline.accepted;
        let key = definition_hashes_clients(cluster).then(|| hash::key(client.ip().to_string().as_bytes()));
        let draw = Draw { random: fastrand::u64(..), key };
        if cluster.connections().is_full() {
            return Err(Reason::Overflow);
        }
        let lease = cluster.pick(draw, &[]).ok_or(Reason::NoHealthyEndpoint)?;
        outline.endpoint = Some(Arc::clone(lease.endpoint()));
        let asker = Asker {
            authority: &cluster.definition().host,
            speaks_h2: false,
            switches: false,
            addresses: Some((client, own)),
        };
        let peer = peer::for_endpoint(cluster, lease.endpoint(), asker).map_err(|_| Reason::ConnectFailure)?;
        let opened = match TRANSPORT.new_stream(&*peer).await {
            Ok(mut stream) => carry_on(cluster, &mut stream).await.map(|()| stream).map_err(|_| Reason::ConnectFailure),
            Err(error) => Err(super::outcome::connect_failure(&error, None)),
        };
        // A connection counts as an answer; what is said on it is nobody's business here.
        let outcome = if opened.is_ok() { Outcome::Answered(200) } else { Outcome::Failed };
        if opened.as_ref().err() != Some(&Reason::Overflow) {
            cluster.report(lease.endpoint(), outcome, Instant::now);
        }
        let stream = opened?;
        let (proxy, tls) = (stream.get_proxy_digest(), stream.get_ssl_digest());
        let made = Made { proxy: proxy.as_ref(), tls: tls.as_deref() };
        let taken = in_use(&cluster.definition().tls, made, Instant::now).map_err(|_| Reason::ConnectFailure)?;
        Ok(((lease, taken), stream))
    }
}

impl Carrier for Upstream {
    fn ends_by_closing(&self) -> bool {
        // It may be in TLS.
        false
    }
}

/// Asks the proxy that the cluster is to carry the connection on, if it is one.
async fn carry_on(cluster: &Cluster, stream: &mut Upstream) -> io::Result<()> {
    let definition = cluster.definition();
    let Some(tunnel) = &definition.tunnel else { return Ok(()) };
    let opened = tokio::time::timeout(definition.pool.connect_timeout, tunnel::open(stream, tunnel)).await;
    opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Whether connections stay by the client's address; requests know more keys than connections.
fn definition_hashes_clients(cluster: &Cluster) -> bool {
    cluster.definition().key == Some(crate::upstream::definition::HashKey::ClientAddress)
}
