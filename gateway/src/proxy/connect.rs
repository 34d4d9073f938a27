//! Carries a tunnel (CONNECT): checks what is said first, connects to a vetted address, and passes bytes both ways.
//!
//! Where TLS is expected, nothing reaches the destination before the client's first message
//! was read whole and names the host that was asked for. The client's stream of HTTP/2 is
//! taken from Pingora, which knows no tunnels; a [`StandIn`] stays with it, so that the
//! exchange is logged and counted like any other.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::exchange::{Exchange, Leaving};
use super::gateway::{Found, Gateway};
use super::intercept;
use super::leave::{self, Plan};
use super::stand_in::StandIn;
use super::tunnel_io::TunnelIo;
use crate::egress::target::Host;
use crate::filter::rate_limit::key::digest_of;
use crate::l4::relay::{self, Bounds, End, Meter};
use crate::listener::set::ListenerKey;
use crate::listener::tls::hello::{self, Alert, Bad, Hello};
use crate::listener::tls::turns::Turns;
use crate::local_reply::egress_fault::EgressFault;
use crate::local_reply::{LocalReply, Reason};
use crate::quota::concurrency::Place;
use crate::routing::way_out::{InTunnel, TunnelTerms, Use};
use crate::snapshot::{Live, Service};
use crate::telemetry::series::DestinationLabels;

/// Time over which tunnels look whether a new configuration still allows them, so that not all do at once.
const SPREAD: Duration = Duration::from_secs(1);
/// Bound on the client's first message.
const HELLO: Duration = Duration::from_secs(5);

/// Carries a tunnel until it ends, or says why there is none.
pub(super) async fn tunnel(
    session: &mut ServerSession,
    exchange: &mut Exchange,
    plan: Plan,
    gateway: &Gateway,
) -> Result<Found> {
    let terms = plan.ways.tunnels;
    let Some(_places) = places(exchange, &plan) else {
        exchange.end.reason = Some(Reason::TooManyAtOnce);
        return Ok(Found::Reply(LocalReply::because(Reason::TooManyAtOnce)));
    };
    match intercept::ends(exchange, &plan) {
        Ok(None) => {}
        Ok(Some(config)) => {
            // Boxed, so that tunnels that pass as they are do not carry it.
            Box::pin(intercept::serve(session, exchange, (&plan, config), gateway)).await?;
            return Ok(Found::Done);
        }
        Err(fault) => return Ok(Found::Reply(leave::refuse(exchange, &plan.target, fault))),
    }
    let listens = listens(&plan);
    let mut ready = None;
    if !listens {
        match dial(&plan, terms).await {
            Ok(it) => ready = Some(it),
            Err(reason) => {
                exchange.end.reason = Some(reason);
                return Ok(Found::Reply(LocalReply::because(reason)));
            }
        }
    }
    let (mut stream, early) = take_over(session, exchange).await?;
    if stream.welcome().await.is_err() {
        exchange.end.reason = Some(Reason::ClientGone);
        return Ok(Found::Done);
    }
    // Boxed: a tunnel that idles shall not keep room for it.
    let begun = if listens {
        Box::pin(first_message((&mut stream, &early), &plan, &gateway.turns)).await.map(|it| it.bytes)
    } else {
        Ok(early)
    };
    let upstream = match (begun, ready) {
        (Err(fault), _) => Err(Reason::Egress(fault)),
        (Ok(early), Some(upstream)) => Ok((early, upstream)),
        (Ok(early), None) => dial(&plan, terms).await.map(|it| (early, it)),
    };
    match upstream {
        Ok((early, mut upstream)) => carry(exchange, (&mut stream, &mut upstream), early, (&plan, gateway)).await,
        Err(reason) => {
            note(exchange, reason, &plan);
            // The client may be gone already.
            drop(stream.shutdown().await);
        }
    }
    Ok(Found::Done)
}

/// Whether the client has to speak first, and to name its host.
fn listens(plan: &Plan) -> bool {
    match plan.ways.tunnels.says {
        InTunnel::Verify => plan.way.carries_tls(plan.target.port),
        InTunnel::Require => true,
        InTunnel::Off => false,
    }
}

/// Notes why a tunnel that was granted ends at once.
pub(super) fn note(exchange: &mut Exchange, reason: Reason, plan: &Plan) {
    exchange.end.reason = Some(reason);
    if let Reason::Egress(fault) = reason {
        exchange.end.details = Some(format!("{}[{}]", fault.name(), plan.target).into());
    }
}

/// Places among the tunnels of the client and of the host, as far as they are bounded.
fn places(exchange: &Exchange, plan: &Plan) -> Option<Vec<Place>> {
    let (of_client, of_host) = plan.ways.tunnels.at_once;
    let counts = &exchange.snapshot.counters.in_flight;
    let mut taken = Vec::new();
    if of_client > 0 {
        let client = exchange.known().map(|it| it.address.to_string()).unwrap_or_default();
        taken.push(counts.enter(digest_of(&["egress client", &client]), of_client)?);
    }
    if of_host > 0 {
        taken.push(counts.enter(digest_of(&["egress host", &plan.target.host.to_string()]), of_host)?);
    }
    Some(taken)
}

/// The client's connection with what was read of it, or its stream; who asks the session learns that it was answered.
pub(super) async fn take_over(session: &mut ServerSession, exchange: &mut Exchange) -> Result<(TunnelIo, Bytes)> {
    let inside = match exchange.stream.take() {
        Some(stream) => {
            let (io, early) = stream.into_inside();
            (TunnelIo::Bare(io), early)
        }
        None => (own_stream(session)?, Bytes::new()),
    };
    session.write_response_header(Box::new(ResponseHeader::build(200, Some(0))?)).await?;
    Ok(inside)
}

/// The stream of HTTP/2, taken from Pingora; a stand-in with the same head stays with it.
fn own_stream(session: &mut ServerSession) -> Result<TunnelIo> {
    let head =
        std::mem::replace(session.req_header_mut(), RequestHeader::build_no_case(Method::CONNECT, b"/", Some(0))?);
    session.set_keepalive(Some(1));
    let stand_in = ServerSession::new_custom(Box::new(StandIn::new(head)));
    match std::mem::replace(session, stand_in) {
        ServerSession::H2(stream) => TunnelIo::of_stream(stream),
        ServerSession::H1(_) | ServerSession::Subrequest(_) | ServerSession::Custom(_) => {
            Error::e_explain(ErrorType::InternalError, "the client has no stream of its own")
        }
    }
}

/// Reads the client's first message, which must name the host that it asked for.
pub(super) async fn first_message(
    (stream, early): (&mut TunnelIo, &[u8]),
    plan: &Plan,
    turns: &Turns,
) -> Result<Hello, EgressFault> {
    let read = tokio::time::timeout(HELLO, hello::read(stream, early, turns)).await;
    let hello = match read {
        Ok(Ok(hello)) => hello,
        Ok(Err(Bad::Refused(told))) => {
            tell(stream, &told).await;
            return Err(EgressFault::NoHello);
        }
        Ok(Err(Bad::Gone(_))) | Err(_) => return Err(EgressFault::NoHello),
    };
    let is_meant = match &plan.target.host {
        Host::Name(name) => *hello.server_name == **name,
        // Nobody names an address in a handshake (RFC 6066 §3).
        Host::Address(_) => {
            hello.server_name.is_empty() || plan.way.host().is_some_and(|it| *it.name == *hello.server_name)
        }
    };
    if !is_meant {
        tell(stream, &hello::alert(Alert::UnrecognizedName)).await;
        return Err(EgressFault::ServerName);
    }
    Ok(hello)
}

async fn tell(stream: &mut TunnelIo, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() {
        // A client that is gone does not hear it.
        stream.flush().await.unwrap_or_default();
    }
}

/// A connection to the first vetted address that answers.
async fn dial(plan: &Plan, terms: TunnelTerms) -> Result<(TcpStream, SocketAddr), Reason> {
    for address in &plan.addresses {
        if let Ok(Ok(stream)) = tokio::time::timeout(terms.connect, TcpStream::connect(address)).await {
            // Only a matter of speed.
            stream.set_nodelay(true).unwrap_or_default();
            return Ok((stream, *address));
        }
    }
    Err(Reason::ConnectFailure)
}

/// Passes bytes both ways until the tunnel ends.
async fn carry(
    exchange: &mut Exchange,
    (stream, (upstream, endpoint)): (&mut TunnelIo, &mut (TcpStream, SocketAddr)),
    early: Bytes,
    (plan, gateway): (&Plan, &Gateway),
) {
    exchange.leaving.get_or_insert_default().endpoint = Some(*endpoint);
    let (up, down) = open(exchange, gateway);
    let terms = plan.ways.tunnels;
    let bounds = Bounds { idle: Some(terms.idle), age: terms.age, bytes: terms.bytes };
    let since = (exchange.snapshot.generation, exchange.client_listener());
    let passed = upstream.write_all(&early).await;
    up.count(early.len());
    // With it goes the buffer that it was read into.
    drop(early);
    let end = if passed.is_ok() {
        tokio::select! {
            end = relay::relay(stream, upstream, bounds, (&up, &down)) => end,
            () = revoked(&gateway.live, since, plan) => End::Aged,
        }
    } else {
        End::Broken
    };
    close(exchange, gateway, end, (up.bytes(), down.bytes()));
}

/// Counts a tunnel that begins; what counts its bytes, from the client and to it.
pub(super) fn open(exchange: &mut Exchange, gateway: &Gateway) -> (Meter, Meter) {
    let counters = gateway.telemetry.tcp.counters(labels(exchange.leaving.get_or_insert_default()));
    counters.opened.inc();
    (Meter::new(counters.received), Meter::new(counters.sent))
}

/// Counts one that ended.
pub(super) fn close(exchange: &mut Exchange, gateway: &Gateway, end: End, bytes: (u64, u64)) {
    let flag = match end {
        End::Done | End::Broken => "-",
        End::Idle => "SI",
        End::Aged => "DT",
    };
    let leaving = exchange.leaving.get_or_insert_default();
    leaving.bytes = bytes;
    gateway.telemetry.tcp.close(labels(leaving), flag);
}

fn labels(leaving: &Leaving) -> DestinationLabels<'_> {
    DestinationLabels::Cluster { name: &leaving.cluster, host: &leaving.host, namespace: &leaving.namespace }
}

/// Ends some time after a configuration does not allow the destination any more; `known` allowed it.
pub(super) async fn revoked(live: &Live, (known, key): (u64, Option<ListenerKey>), plan: &Plan) {
    let mut published = live.follow(known);
    let mut due: Option<Instant> = None;
    loop {
        let change = match due {
            None => published.changed().await,
            Some(due) => match timeout_at(due, published.changed()).await {
                Ok(change) => change,
                Err(_) => return,
            },
        };
        if change.is_err() {
            // The process ends.
            return;
        }
        sleep(plan.ways.tunnels.grace.min(SPREAD).mul_f64(fastrand::f64())).await;
        let snapshot = live.pin();
        let listener = key.and_then(|it| snapshot.listener(it));
        let allowed = listener.is_some_and(|it| match &it.service {
            Service::Proxy(proxy) => proxy.ways.decide(&plan.target, Use::Tunnel).is_ok(),
            Service::Http(_) | Service::Tcp(_) | Service::Tls(_) => false,
        });
        due = if allowed { None } else { due.or_else(|| Some(Instant::now() + plan.ways.tunnels.grace)) };
    }
}
