//! Ends a client's TLS inside of its tunnel, so that the requests in it are judged like others.
//!
//! The client's first message must name the host of CONNECT, as in every tunnel; it is shown a
//! certificate that the operator's authority signed for that host. Then the tunnel is a
//! connection of its own to the guard of HTTP: each request is judged by the configuration of
//! its time, must be for the host of the tunnel (421 otherwise, and the others go on), and
//! goes to vetted addresses in TLS that the gateway begins and checks. Where there is no
//! certificate to show, the tunnel is refused: nothing passes unread.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora::Result;
use pingora::protocols::http::ServerSession;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::StartHandshake;

use super::connect;
use super::exchange::Exchange;
use super::gateway::Gateway;
use super::leave::Plan;
use super::tunnel_io::TunnelIo;
use crate::egress::target::Host;
use crate::l4::metered::Metered;
use crate::l4::relay::{self, End};
use crate::listener::client_io::ClientIo;
use crate::listener::connection::{Connection, Tunnel};
use crate::listener::tls::authority::Signer;
use crate::listener::tls::turns::Turns;
use crate::local_reply::Reason;
use crate::local_reply::egress_fault::EgressFault;
use crate::snapshot::Service;

/// Bound on the handshake after its first message.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What the client of a tunnel is shown, if its TLS shall end here.
pub(super) fn ends(exchange: &Exchange, plan: &Plan) -> Result<Option<Arc<ServerConfig>>, EgressFault> {
    let Host::Name(name) = &plan.target.host else { return Ok(None) };
    let listener = exchange.client_listener().and_then(|it| exchange.snapshot.listener(it));
    let interceptions = match listener.map(|it| &it.service) {
        Some(Service::Proxy(proxy)) if plan.way.carries_tls(plan.target.port) => &proxy.interceptions,
        Some(Service::Proxy(_) | Service::Http(_) | Service::Tcp(_) | Service::Tls(_)) | None => return Ok(None),
    };
    let Some(interception) = interceptions.find(name) else { return Ok(None) };
    let made = match &interception.signer {
        Signer::Ready(authority) => authority.server(name, exchange.time, fastrand::u128(..)),
        Signer::Unavailable(message) => Err(message.to_string()),
    };
    made.map(Some).map_err(|message| {
        log::debug!("{name}: there is no certificate to show: {message}");
        EgressFault::NoAuthority
    })
}

/// Serves the requests in a tunnel until it ends.
pub(super) async fn serve(
    session: &mut ServerSession,
    exchange: &mut Exchange,
    (plan, config): (&Plan, Arc<ServerConfig>),
    gateway: &Gateway,
) -> Result<()> {
    let (mut stream, early) = connect::take_over(session, exchange).await?;
    if stream.welcome().await.is_err() {
        exchange.end.reason = Some(Reason::ClientGone);
        return Ok(());
    }
    let (up, down) = connect::open(exchange, gateway);
    let (up, down) = (Arc::new(up), Arc::new(down));
    let terms = plan.ways.tunnels;
    let wrap = |it| Metered::new(it, (Arc::clone(&up), Arc::clone(&down)), terms.bytes);
    let begun = shake_hands((stream, early), (plan, config), &gateway.turns, wrap).await;
    let end = match begun.map(|io| (io, inside(exchange, plan), gateway.inside.upgrade())) {
        Ok((io, Some(connection), Some(run))) => {
            let since = (exchange.snapshot.generation, exchange.client_listener());
            tokio::select! {
                () = run.serve(io, connection) => End::Done,
                () = connect::revoked(&gateway.live, since, plan) => End::Aged,
                () = relay::age(terms.age) => End::Aged,
            }
        }
        // The worker ends.
        Ok(_) => End::Broken,
        Err(reason) => {
            connect::note(exchange, reason, plan);
            End::Broken
        }
    };
    connect::close(exchange, gateway, end, (up.bytes(), down.bytes()));
    Ok(())
}

/// The client's TLS, ended here.
async fn shake_hands(
    (mut stream, early): (TunnelIo, Bytes),
    (plan, config): (&Plan, Arc<ServerConfig>),
    turns: &Turns,
    wrap: impl FnOnce(TunnelIo) -> Metered<TunnelIo>,
) -> Result<ClientIo, Reason> {
    let hello = connect::first_message((&mut stream, &early), plan, turns).await.map_err(Reason::Egress)?;
    let start = StartHandshake::from_parts(hello.accepted, wrap(stream));
    let shaken = tokio::time::timeout(HANDSHAKE, turns.begin(start.into_stream(config))).await;
    // A client that does not know the authority leaves here.
    let stream = shaken.ok().and_then(Result::ok).ok_or(Reason::ClientGone)?;
    Ok(ClientIo::Inside(Box::new(stream)))
}

/// The connection that runs in the tunnel of a request.
fn inside(exchange: &Exchange, plan: &Plan) -> Option<Arc<Connection>> {
    let known = exchange.known()?;
    let tunnel = Tunnel {
        target: plan.target.clone(),
        client: known.address,
        identity: exchange.identity.clone(),
        credentials: exchange.credentials.clone(),
    };
    Some(known.connection.within(plan.target.host.to_string().into(), tunnel))
}
