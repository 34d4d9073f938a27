//! What every request of one worker works with, and the order in which it is judged.

use std::sync::Arc;

use pingora::Result;
use pingora::proxy::Session;

use super::consult::Tools;
use super::exchange::Exchange;
use super::mirror::Mirrors;
use super::{arrival, consult, credentials};
use crate::local_reply::Flow;
use crate::snapshot::Live;
use crate::telemetry::Telemetry;
use crate::upstream::client::Client;

/// What every request of one worker works with.
pub struct Gateway {
    pub(super) live: Arc<Live>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) worker: usize,
    client: Arc<Client>,
    pub(super) mirrors: Arc<Mirrors>,
}

impl Gateway {
    /// The proxy of one worker.
    pub fn new(live: Arc<Live>, telemetry: Arc<Telemetry>, worker: usize, client: Arc<Client>) -> Self {
        let mirrors = Arc::new(Mirrors::new(Arc::clone(&client)));
        Self { live, telemetry, worker, client, mirrors }
    }
}

impl Gateway {
    /// Finds out what becomes of a request.
    pub(super) async fn find(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Flow> {
        let mut opened = match arrival::open(session, exchange) {
            Flow::Continue(it) => it,
            Flow::Break(reply) => return Ok(Flow::Break(reply)),
        };
        let metrics = &self.telemetry.metrics.access;
        if exchange.snapshot.custom.is_some() {
            let tools = Tools { client: &self.client, metrics: &metrics.external };
            // Boxed, so that requests nobody is asked about do not carry it.
            match Box::pin(consult::ask(session, exchange, opened, tools)).await? {
                Flow::Continue(it) => opened = it,
                Flow::Break(reply) => return Ok(Flow::Break(reply)),
            }
        }
        if !exchange.snapshot.api_keys.is_empty() || exchange.snapshot.basic.is_some() {
            match Box::pin(credentials::identify(session, exchange, opened, metrics)).await {
                Flow::Continue(it) => opened = it,
                Flow::Break(reply) => return Ok(Flow::Break(reply)),
            }
        }
        Ok(arrival::admit(session, exchange, opened, metrics))
    }
}
