//! What every request of one worker works with, and the order in which it is judged.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use pingora::Result;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

use super::arrival::Opened;
use super::consult::Tools;
use super::dynamic::Dynamic;
use super::exchange::Exchange;
use super::limit::Stage;
use super::mirror::Mirrors;
use super::{arrival, consult, credentials, descriptor_limit, limit};
use crate::listener::client_io::ClientIo;
use crate::listener::connection::Connection;
use crate::listener::http1::head::Role;
use crate::listener::tls::turns::Turns;
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::routing::route::Target;
use crate::snapshot::Live;
use crate::telemetry::Telemetry;
use crate::upstream::client::Client;
use crate::upstream::definition::Discovery;

/// What becomes of a request.
pub(super) enum Found {
    /// It is forwarded.
    Forward,
    /// It is answered here.
    Reply(LocalReply),
    /// It was a tunnel, which ended.
    Done,
}

/// A connection that is being served, until it ends.
pub(super) type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves connections that run in tunnels, whose TLS ended here.
pub(super) trait ServeInside: Send + Sync {
    /// Serves one until it ends.
    fn serve(self: Arc<Self>, io: ClientIo, connection: Arc<Connection>) -> Served;
}

/// What every request of one worker works with; clones share it.
#[derive(Clone)]
pub struct Gateway {
    pub(super) live: Arc<Live>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) worker: usize,
    pub(super) client: Arc<Client>,
    pub(super) mirrors: Arc<Mirrors>,
    pub(super) dynamic: Arc<Dynamic>,
    /// When handshakes of this worker go on.
    pub(super) turns: Arc<Turns>,
    /// Who serves requests, and holds this.
    pub(super) inside: Weak<dyn ServeInside>,
}

impl Gateway {
    /// The proxy of one worker.
    pub(super) fn new(
        (live, telemetry): (Arc<Live>, Arc<Telemetry>),
        worker: usize,
        (client, dynamic): (Arc<Client>, Arc<Dynamic>),
        inside: Weak<dyn ServeInside>,
    ) -> Self {
        let mirrors = Arc::new(Mirrors::new(Arc::clone(&client)));
        Self { live, telemetry, worker, client, mirrors, dynamic, turns: Arc::default(), inside }
    }
}

impl Gateway {
    /// Finds out what becomes of a request.
    pub(super) async fn find(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Found> {
        let opened = match arrival::open(session, exchange) {
            Flow::Continue(it) => it,
            Flow::Break(reply) => return Ok(Found::Reply(reply)),
        };
        let leaves = |it: &Connection| it.role == Role::Proxy || it.inside.is_some();
        if exchange.known().is_some_and(|it| leaves(&it.connection)) {
            // Boxed, so that requests that stay inside do not carry it.
            return Box::pin(self.leave(session, exchange, opened)).await;
        }
        Ok(match self.route(session, exchange, opened).await? {
            Flow::Continue(()) => Found::Forward,
            Flow::Break(reply) => Found::Reply(reply),
        })
    }

    /// Asks everybody who is to be asked about a request, and follows its route.
    async fn route(&self, session: &mut Session, exchange: &mut Exchange, opened: Opened) -> Result<Flow> {
        if let refused @ Flow::Break(_) = self.limit(session, exchange, &opened, Stage::Before).await {
            return Ok(refused);
        }
        let opened = match self.ask_outside(session, exchange, opened).await? {
            Flow::Continue(it) => it,
            Flow::Break(reply) => return Ok(Flow::Break(reply)),
        };
        let opened = match arrival::admit(session, exchange, opened, &self.telemetry.metrics.access) {
            Flow::Continue(it) => it,
            Flow::Break(reply) => return Ok(Flow::Break(reply)),
        };
        if let refused @ Flow::Break(_) = self.limit(session, exchange, &opened, Stage::Behind).await {
            return Ok(refused);
        }
        if !exchange.snapshot.descriptor_limits.is_empty() {
            let tools = self.limit_tools();
            // Boxed, so that requests without such limits do not carry it.
            let checked = Box::pin(descriptor_limit::check(session.req_header(), exchange, &opened, tools)).await;
            if let refused @ Flow::Break(_) = checked {
                return Ok(refused);
            }
        }
        Ok(match arrival::follow(session, exchange, &opened) {
            Flow::Continue(()) => self.find_host(exchange, &opened).await,
            refused @ Flow::Break(_) => refused,
        })
    }

    /// Finds the addresses of the request's own host, where its route leads to a wildcard.
    async fn find_host(&self, exchange: &mut Exchange, opened: &Opened) -> Flow {
        let Some(Target::Cluster(template)) = exchange.forward().map(|(_, it)| &it.target) else {
            return Flow::Continue(());
        };
        if !matches!(template.definition().discovery, Discovery::ByHost(_)) {
            return Flow::Continue(());
        }
        let template = Arc::clone(template);
        match self.dynamic.find(&template, &opened.authority).await {
            Ok(found) => {
                exchange.found = found;
                Flow::Continue(())
            }
            Err(fault) => {
                let reason = Reason::Egress(fault);
                exchange.end.reason = Some(reason);
                Flow::Break(LocalReply::because(reason))
            }
        }
    }

    /// Asks a service outside, and looks at keys and passwords, where it is configured.
    async fn ask_outside(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        mut opened: Opened,
    ) -> Result<Flow<Opened>> {
        let metrics = &self.telemetry.metrics.access;
        if exchange.snapshot.custom.is_some() {
            let tools = Tools { client: &self.client, metrics: &metrics.external };
            // Boxed, so that requests nobody is asked about do not carry it.
            match Box::pin(consult::ask(session, exchange, opened, tools)).await? {
                Flow::Continue(it) => opened = it,
                refused @ Flow::Break(_) => return Ok(refused),
            }
        }
        if !exchange.snapshot.api_keys.is_empty() || exchange.snapshot.basic.is_some() {
            return Ok(Box::pin(credentials::identify(session, exchange, opened, metrics)).await);
        }
        Ok(Flow::Continue(opened))
    }

    /// Asks the rate limits of a stage, if there are any.
    pub(super) async fn limit(
        &self,
        session: &ServerSession,
        exchange: &mut Exchange,
        opened: &Opened,
        stage: Stage,
    ) -> Flow {
        if !limit::concerns(exchange, stage) {
            return Flow::Continue(());
        }
        limit::check(session.req_header(), exchange, opened, stage, self.limit_tools()).await
    }

    fn limit_tools(&self) -> limit::Tools<'_> {
        let decisions = &self.telemetry.metrics.quota.decisions;
        limit::Tools { decisions, client: &self.client, worker: self.worker }
    }
}
