//! Lets requests of a forward proxy's clients out, or says why not.
//!
//! The order is a promise: the destination has its one form before anything judges it; who
//! asks is known, and allowed by the policies, before it is looked up what the documents
//! allow; no name is looked up that is not allowed; and what is dialled was vetted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderName, Method, header};
use pingora::Result as Outcome;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use super::arrival::Opened;
use super::dynamic::{Dynamic, LOOKUP};
use super::exchange::{Exchange, Leaving, Way as Taken};
use super::gateway::{Found, Gateway};
use super::limit::Stage;
use super::{access, connect, leave_credentials};
use crate::egress::target::{Host, Target};
use crate::local_reply::egress_fault::EgressFault;
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::origin::DocumentOrigin;
use crate::routing::request::Scheme;
use crate::routing::rewrite::PathRewrite;
use crate::routing::route::{self, Action, Destination, Forward, PathPattern, Route, RouteKind, RouteOrigin};
use crate::routing::way_out::{Use, Way, WaysOut};
use crate::snapshot::Service;
use crate::telemetry::egress_log::Asked;
use crate::upstream::definition::{Definition, Protocol, Tls};
use crate::upstream::dns::Resolver;
use crate::upstream::retry::Policy;

/// Headers that speak of the inside; nothing outside learns them.
const INSIDE: [HeaderName; 6] = [
    header::PROXY_AUTHORIZATION,
    header::FORWARDED,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
];
/// Prefixes of more such headers.
const INSIDE_PREFIXES: [&str; 2] = ["x-forwarded-", "x-envoy-"];

/// A destination that may be reached, with the addresses that were vetted.
pub(super) struct Plan {
    pub(super) ways: Arc<WaysOut>,
    pub(super) target: Target,
    pub(super) way: Way,
    pub(super) addresses: Vec<SocketAddr>,
}

impl Gateway {
    /// Finds out what becomes of a request for a destination elsewhere.
    pub(super) async fn leave(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        opened: Opened,
    ) -> Outcome<Found> {
        let is_connect = session.req_header().method == Method::CONNECT;
        let (ways, target) = match destination(session.req_header(), exchange, &opened) {
            Flow::Continue(it) => it,
            Flow::Break(reply) => return Ok(Found::Reply(reply)),
        };
        if let Flow::Break(reply) = self.admits(session, exchange, &opened).await {
            return Ok(Found::Reply(reply));
        }
        // What runs in a tunnel goes where the tunnel was asked for, in TLS of the gateway's own.
        let inside = exchange.known().is_some_and(|it| it.connection.inside.is_some());
        let usage = if is_connect || inside { Use::Tunnel } else { Use::Requests };
        let reached = exchange.known().map(|it| it.connection.local.ip().to_canonical());
        let plan = match plan((&self.dynamic.resolver, reached), ways, target.clone(), usage).await {
            Ok(it) => it,
            Err(fault) => {
                self.remember(exchange, (&target, usage), (fault, false));
                return Ok(Found::Reply(refuse(exchange, &target, fault)));
            }
        };
        note(exchange, &plan);
        if let Way::Unnamed(Some(fault)) = plan.way {
            self.remember(exchange, (&target, usage), (fault, true));
        }
        if is_connect {
            return connect::tunnel(session, exchange, plan, self).await;
        }
        clean(session.req_header_mut(), plan.ways.keeps_via);
        exchange.way = Taken::Forwarded(route(&plan, template(&plan, inside), &self.dynamic), 0);
        Ok(Found::Forward)
    }

    /// Notes a destination that is refused, or would be.
    fn remember(&self, exchange: &Exchange, (target, usage): (&Target, Use), (fault, passed): (EgressFault, bool)) {
        let (host, port) = (target.host.to_string(), target.port);
        let asked = Asked { host, port, code: fault.name(), passed, tunnel: usage == Use::Tunnel };
        self.telemetry.egress.note(asked, exchange.known().map(|it| it.address), exchange.time);
    }

    /// Who asks, whether the policies allow it, and how often.
    async fn admits(&self, session: &mut ServerSession, exchange: &mut Exchange, opened: &Opened) -> Flow {
        self.limit(session, exchange, opened, Stage::Before).await?;
        let metrics = &self.telemetry.metrics.access;
        match exchange.known().map(|it| Arc::clone(&it.connection)).as_ref().and_then(|it| it.inside.as_ref()) {
            None => leave_credentials::identify(session.req_header(), exchange, metrics).await?,
            // Whoever asked for the tunnel asks in it; what is said in it is for the destination.
            Some(tunnel) => {
                exchange.identity = tunnel.identity.clone();
                exchange.credentials.clone_from(&tunnel.credentials);
            }
        }
        access::authorize(session.req_header(), exchange, opened, metrics)?;
        self.limit(session, exchange, opened, Stage::Behind).await
    }
}

/// The destination in its one form, and the table that judges it.
fn destination(request: &RequestHeader, exchange: &mut Exchange, opened: &Opened) -> Flow<(Arc<WaysOut>, Target)> {
    let key = exchange.known().map(|it| it.connection.listener);
    let listener = key.and_then(|it| exchange.snapshot.listener(it)).map(Arc::clone);
    let ways = match listener.as_deref().map(|it| &it.service) {
        Some(Service::Proxy(proxy)) => Arc::clone(&proxy.ways),
        // The port serves something else since the connection was made.
        Some(Service::Http(_) | Service::Tcp(_) | Service::Tls(_)) | None => {
            return stop(exchange, Reason::Misdirected);
        }
    };
    let tunnel = exchange.known().and_then(|it| it.connection.inside.as_ref());
    let usual = match tunnel {
        Some(_) => Some(Scheme::Https.default_port()),
        None => (request.method != Method::CONNECT).then(|| Scheme::Http.default_port()),
    };
    match Target::parse(&opened.authority, usual) {
        // Each request by itself: one for another host does not end those that are meant for this one.
        Ok(target) if tunnel.is_some_and(|it| it.target != target) => stop(exchange, Reason::Misdirected),
        Ok(target) if request.method != Method::TRACE => Flow::Continue((ways, target)),
        Ok(_) | Err(_) => stop(exchange, Reason::Egress(EgressFault::NoTarget)),
    }
}

fn stop<T>(exchange: &mut Exchange, reason: Reason) -> Flow<T> {
    exchange.end.reason = Some(reason);
    Flow::Break(LocalReply::because(reason))
}

/// Decides about a destination, and finds and vets its addresses; the client `reached` the gateway at one of its own.
async fn plan(
    (resolver, reached): (&Resolver, Option<IpAddr>),
    ways: Arc<WaysOut>,
    target: Target,
    usage: Use,
) -> Result<Plan, EgressFault> {
    let way = ways.decide(&target, usage)?;
    let port = way.port().map_or(target.port, |it| it.dials);
    let at = |it: IpAddr| SocketAddr::new(it, port);
    let mut addresses: Vec<SocketAddr> = match (way.port().and_then(|it| it.endpoints.as_ref()), &target.host) {
        (Some(named), _) => named.to_vec(),
        (None, Host::Address(address)) => vec![at(*address)],
        (None, Host::Name(name)) => {
            // Boxed, so that destinations whose addresses are known do not carry it.
            let found = Box::pin(tokio::time::timeout(LOOKUP, resolver.lookup(name))).await;
            let (addresses, _) = found.ok().flatten().ok_or(EgressFault::Unresolved)?;
            addresses.into_iter().map(at).collect()
        }
    };
    // What the document names itself was vetted by who wrote it.
    let is_named = way.port().is_some_and(|it| it.endpoints.is_some());
    let is_own = |it| reached == Some(it) || resolver.is_own(it);
    addresses.retain(|it| is_named || ways.admits(&way, it.ip(), is_own));
    if addresses.is_empty() {
        return Err(EgressFault::Address);
    }
    // Answers rotate; the same set is the same cluster.
    addresses.sort_unstable();
    Ok(Plan { ways, target, way, addresses })
}

/// Refuses a destination; the client learns which one, and a word for the reason.
pub(super) fn refuse(exchange: &mut Exchange, target: &Target, fault: EgressFault) -> LocalReply {
    let reason = Reason::Egress(fault);
    exchange.end.reason = Some(reason);
    exchange.end.details = Some(format!("{}[{target}]", fault.name()).into());
    let mut reply = LocalReply::because(reason);
    reply.body = format!("{target}: {}\n", fault.name()).into();
    reply
}

/// Notes where a request goes, for metrics and logs.
fn note(exchange: &mut Exchange, plan: &Plan) {
    let (cluster, host, namespace) = match &plan.way {
        Way::Named(host, index) => {
            let cluster = host.ports.get(*index).map(|it| Arc::clone(&it.cluster)).unwrap_or_default();
            (cluster, Arc::clone(&host.name), Arc::clone(&host.namespace))
        }
        Way::Unnamed(_) => ("PassthroughCluster".into(), "PassthroughCluster".into(), "unknown".into()),
    };
    let would_deny = match plan.way {
        Way::Unnamed(fault) => fault.map(|it| format!("would_deny:{}[{}]", it.name(), plan.target).into()),
        Way::Named(..) => None,
    };
    exchange.leaving = Some(Box::new(Leaving { cluster, host, namespace, would_deny, ..Leaving::default() }));
}

/// Takes out what speaks of the inside.
fn clean(request: &mut RequestHeader, keeps_via: bool) {
    let told = |it: &HeaderName| {
        INSIDE.contains(it)
            || (*it == header::VIA && !keeps_via)
            || INSIDE_PREFIXES.iter().any(|prefix| it.as_str().starts_with(prefix))
    };
    let names: Vec<HeaderName> = request.headers.keys().filter(|it| told(it)).cloned().collect();
    for name in names {
        request.remove_header(&name);
    }
}

/// How requests go to a destination, but for its addresses.
fn template(plan: &Plan, inside: bool) -> Definition {
    let template = plan.way.port().map_or(&plan.ways.template, |it| &it.template);
    let template = Definition { port: plan.target.port, ..Definition::clone(template) };
    if !inside {
        return template;
    }
    // Where no DestinationRule says how, as the client itself would have done it.
    let tls = match template.tls {
        Tls::Off => {
            let sni = Some(plan.target.host.to_string().into());
            Tls::On { sni, verify: true, authorities: None, identity: None, revoked: None }
        }
        other @ (Tls::On { .. } | Tls::Unavailable) => other,
    };
    let protocol = match template.protocol {
        Protocol::Http1 => Protocol::Negotiated,
        other @ (Protocol::Http2 | Protocol::Client | Protocol::Negotiated) => other,
    };
    Definition { tls, protocol, ..template }
}

/// The route to the vetted addresses.
fn route(plan: &Plan, template: Definition, dynamic: &Dynamic) -> Arc<Route> {
    let cluster = dynamic.cluster(&template, &plan.target.host.to_string(), &plan.addresses);
    let destination = Destination {
        weight: 1,
        target: route::Target::Cluster(cluster),
        authority: None,
        request_edits: Arc::default(),
        response_edits: Arc::default(),
    };
    let forward = Forward {
        destinations: [destination].into(),
        total_weight: 1,
        rewrite: PathRewrite::Keep,
        timeout: None,
        retry: Arc::new(Policy::default()),
        mirrors: Box::default(),
    };
    Arc::new(Route {
        name: "egress".into(),
        stat_prefix: None,
        origin: RouteOrigin {
            kind: RouteKind::VirtualService,
            service: Arc::new(DocumentOrigin::default()),
            rule: 0,
            condition: None,
        },
        path: PathPattern::Any,
        conditions: Box::default(),
        action: Action::Forward(Box::new(forward)),
        response_edits: Arc::default(),
        fault: None,
        cors: None,
        limits: None,
    })
}
