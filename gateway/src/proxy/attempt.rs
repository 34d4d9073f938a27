//! Decides about the tries of one request: where the next goes, and whether there is one.
//!
//! A try holds a place at its endpoint, a turn where connections are bounded and its
//! connection; all are given back when the next try begins or the exchange ends. A failed
//! try is repeated when the route's policy says so and nothing stands against it: the body
//! can be sent again, the client got nothing yet, there is time, and the budget admits it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use super::exchange::Exchange;
use super::try_clock::TryClock;
use crate::local_reply::Reason;
use crate::routing::route::Target;
use crate::upstream::balancer::Draw;
use crate::upstream::cluster::Cluster;
use crate::upstream::connection::Use;
use crate::upstream::connections::Turn;
use crate::upstream::endpoint::{Endpoint, Lease};
use crate::upstream::limits::Slot;
use crate::upstream::outlier::Outcome;
use crate::upstream::peer;
use crate::upstream::retry::Failure;

/// The tries of one request.
#[derive(Default)]
pub(super) struct Attempts {
    /// The one that is under way, or was last; 1 is the first.
    pub(super) number: u32,
    pub(super) lease: Option<Lease>,
    /// Endpoints of the tries before.
    tried: Vec<Arc<Endpoint>>,
    turn: Option<Turn>,
    pub(super) connection: Option<Use>,
    /// The request's place under the bound of its cluster.
    request: Option<Slot>,
    /// A retry's place in the budget.
    retry: Option<Slot>,
    /// Whether the try is made again, since its connection was given away before anything was sent.
    pub(super) again: bool,
    /// Whether a retry was due that no try was left for.
    pub(super) exhausted: bool,
    /// Time of a try whose connection is cut when it is over.
    pub(super) time: Option<Duration>,
    pub(super) clock: Option<TryClock>,
    /// The gateway's own end of the connection.
    pub(super) local: Option<SocketAddr>,
    pub(super) first_byte: Option<Duration>,
}

impl Attempts {
    /// Gives everything back.
    pub(super) fn end(&mut self) {
        self.request = None;
        self.release();
    }

    fn release(&mut self) {
        self.clock = None;
        self.connection = None;
        self.turn = None;
        self.lease = None;
        self.retry = None;
    }

    /// Starts the try's clock, if it has one, on the connection that it got.
    pub(super) fn begin(&mut self) {
        let bounded = self.connection.as_ref().zip(self.time);
        self.clock = bounded.map(|(it, time)| TryClock::start(Arc::clone(it.of()), time));
    }

    /// Whether the time of the try ended it.
    pub(super) fn is_late(&self) -> bool {
        self.clock.as_ref().is_some_and(TryClock::rang)
    }

    /// The endpoint of the try.
    pub(super) fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.lease.as_ref().map(Lease::endpoint)
    }
}

/// Random numbers of one try.
#[derive(Clone, Copy)]
pub(super) struct Chance {
    pub(super) endpoint: u64,
    pub(super) pause: u64,
}

/// Takes a place at the cluster, and chooses the first endpoint.
pub(super) fn admit(exchange: &mut Exchange, chance: Chance) -> Result<(), Reason> {
    let cluster = Arc::clone(cluster(exchange)?);
    exchange.attempts.request = Some(cluster.admit(Instant::now).ok_or(Reason::Overflow)?);
    choose(exchange, &cluster, chance)
}

pub(super) fn cluster(exchange: &Exchange) -> Result<&Arc<Cluster>, Reason> {
    if let Some(found) = &exchange.found {
        return Ok(found);
    }
    let (_, destination) = exchange.forward().ok_or(Reason::Internal)?;
    match &destination.target {
        Target::Cluster(cluster) => Ok(cluster),
        Target::Missing(_) => Err(Reason::NoCluster),
        Target::Refused(_) => Err(Reason::InvalidBackend),
    }
}

fn choose(exchange: &mut Exchange, cluster: &Cluster, chance: Chance) -> Result<(), Reason> {
    let (forward, _) = exchange.forward().ok_or(Reason::Internal)?;
    let (avoids, elsewhere) = (forward.retry.avoids_tried, forward.retry.elsewhere);
    let attempts = &mut exchange.attempts;
    let draw = Draw { random: chance.endpoint, key: exchange.affinity.key };
    let tried = if avoids { attempts.tried.as_slice() } else { &[] };
    let lease = if elsewhere && !attempts.tried.is_empty() {
        cluster.pick_elsewhere(draw, &attempts.tried)
    } else {
        cluster.pick(draw, tried)
    };
    attempts.lease = Some(lease.ok_or(Reason::NoHealthyEndpoint)?);
    Ok(())
}

/// The peer of the next try, when it is its turn.
pub(super) async fn next(session: &Session, exchange: &mut Exchange, chance: Chance) -> Result<Box<HttpPeer>, Reason> {
    let cluster = Arc::clone(cluster(exchange)?);
    if !std::mem::take(&mut exchange.attempts.again) {
        exchange.attempts.number += 1;
        if exchange.attempts.number > 1 {
            let retry = exchange.attempts.retry.take();
            exchange.attempts.release();
            exchange.attempts.retry = retry;
            wait(exchange, chance).await?;
            choose(exchange, &cluster, chance)?;
        }
        wait_for_turn(exchange, &cluster).await?;
    }
    let (forward, destination) = exchange.forward().ok_or(Reason::Internal)?;
    let endpoint = exchange.attempts.endpoint().ok_or(Reason::Internal)?;
    let asker = peer::Asker {
        authority: destination.authority.as_deref().unwrap_or_else(|| super::forward::host(session)),
        speaks_h2: session.req_header().version == http::Version::HTTP_2,
        switches: session.is_upgrade_req(),
        addresses: exchange.known().map(|it| (it.connection.peer, it.connection.local)),
    };
    let per_try = forward.retry.per_try;
    if per_try.is_some() {
        cluster.connections().make_cuttable();
    }
    let mut peer = peer::for_endpoint(&cluster, endpoint, asker).map_err(|_| Reason::ConnectFailure)?;
    let left = exchange.time_left(Instant::now);
    if left.is_some_and(|it| it.is_zero()) {
        return Err(exchange.late());
    }
    if let Some(left) = left {
        peer::bound(&mut peer, left);
    }
    exchange.attempts.time = per_try.filter(|time| bound_try(&mut peer, &cluster, *time));
    Ok(peer)
}

/// Bounds a try; says whether that takes a clock, which ends the connection.
fn bound_try(peer: &mut HttpPeer, cluster: &Cluster, time: Duration) -> bool {
    let shares = !peer::is_http1(peer);
    if shares && cluster.connections().is_bounded() {
        // One for each request would soon be too many, so Pingora's bound on every wait has to do.
        peer::bound(peer, time);
        return false;
    }
    if shares {
        peer::set_alone(peer);
    }
    peer::bound_connect(peer, time);
    true
}

/// Waits until the request may have a connection.
async fn wait_for_turn(exchange: &mut Exchange, cluster: &Cluster) -> Result<(), Reason> {
    let turn = cluster.connections().turn(cluster.load(), &cluster.definition().limits);
    let turn = match exchange.time_left(Instant::now) {
        Some(left) => tokio::time::timeout(left, turn).await.map_err(|_| exchange.late())?,
        None => turn.await,
    };
    exchange.attempts.turn = Some(turn.map_err(|_| Reason::Overflow)?);
    Ok(())
}

/// The pause before a retry.
async fn wait(exchange: &Exchange, chance: Chance) -> Result<(), Reason> {
    let (forward, _) = exchange.forward().ok_or(Reason::Internal)?;
    let pause = forward.retry.pause(exchange.attempts.number - 1, chance.pause);
    if exchange.time_left(Instant::now).is_some_and(|left| left <= pause) {
        return Err(exchange.late());
    }
    tokio::time::sleep(pause).await;
    Ok(())
}

/// Learns how a try ended without an answer, and says whether it is repeated.
pub(super) fn failed(session: &Session, exchange: &mut Exchange, failure: Failure, reused: bool) -> bool {
    let is_idempotent = session.req_header().method.is_idempotent();
    // A kept connection may have been closed before the request came to it; that says nothing of the endpoint.
    let was_stale = reused && is_idempotent && matches!(failure, Failure::Reset { .. });
    if !was_stale {
        report(exchange, Outcome::Failed);
    }
    let Some((forward, _)) = exchange.forward() else { return false };
    let wanted = forward.retry.attempts > 0 && (was_stale || forward.retry.repeats_failure(failure, is_idempotent));
    wanted && admits_retry(session, exchange, failure != Failure::Connect)
}

/// Learns how a try was answered, and says whether it is repeated all the same.
pub(super) fn answered(session: &Session, exchange: &mut Exchange, status: u16, headers: &http::HeaderMap) -> bool {
    report(exchange, Outcome::Answered(status));
    let wanted = exchange
        .forward()
        .is_some_and(|(forward, _)| forward.retry.attempts > 0 && forward.retry.repeats_answer(status, headers));
    wanted && admits_retry(session, exchange, true)
}

fn report(exchange: &Exchange, outcome: Outcome) {
    if let (Ok(cluster), Some(endpoint)) = (cluster(exchange), exchange.attempts.endpoint()) {
        cluster.report(endpoint, outcome, Instant::now);
    }
}

/// Whether nothing stands against one more try; `reached` says whether the last one came to an endpoint.
fn admits_retry(session: &Session, exchange: &mut Exchange, reached: bool) -> bool {
    let is_begun = session.response_written().is_some_and(|it| !it.status.is_informational());
    // Pingora keeps a body up to its own bound, which is the highest that can be configured.
    let is_long = session.body_bytes_read() > exchange.snapshot.settings.retry_buffer;
    if is_begun || is_long || session.as_ref().retry_buffer_truncated() {
        return false;
    }
    let Some((forward, _)) = exchange.forward() else { return false };
    if exchange.attempts.number > forward.retry.attempts {
        exchange.attempts.exhausted = true;
        return false;
    }
    if exchange.time_left(Instant::now).is_some_and(|it| it.is_zero()) {
        return false;
    }
    let Ok(cluster) = cluster(exchange) else { return false };
    let mut slot = None;
    if cluster.definition().limits.retries.counts(reached) {
        slot = cluster.admit_retry(Instant::now);
        if slot.is_none() {
            return false;
        }
    }
    let attempts = &mut exchange.attempts;
    attempts.retry = slot;
    attempts.tried.extend(attempts.lease.as_ref().map(|it| Arc::clone(it.endpoint())));
    true
}

/// Refuses an answer that came when its try had been given up already.
pub(super) fn check_time(exchange: &Exchange) -> pingora::Result<()> {
    if exchange.attempts.is_late() {
        let mut error = Error::explain(ErrorType::ReadTimedout, "the time of the try is over");
        error.as_up();
        return Err(error);
    }
    Ok(())
}

/// How a connection that was there ended.
pub(super) fn failure(error: &Error, exchange: &Exchange) -> Failure {
    let kind = error.etype();
    if exchange.attempts.is_late() {
        Failure::Timeout
    } else if *kind == ErrorType::InvalidCert {
        Failure::Connect
    } else if *kind == ErrorType::ReadTimedout {
        Failure::Timeout
    } else if matches!(kind, ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::InvalidH2) {
        Failure::Malformed
    } else if matches!(kind, ErrorType::WriteError | ErrorType::WriteTimedout) {
        Failure::Reset { sent: false }
    } else if error.root_cause().to_string().contains("refused stream") {
        Failure::Refused
    } else {
        Failure::Reset { sent: true }
    }
}
