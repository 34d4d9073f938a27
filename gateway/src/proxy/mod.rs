//! The life of a request, in Pingora's phases.
//!
//! `serve` runs a connection and gives each admitted request to Pingora, which calls back
//! here: [`arrival`] reads the request and finds its route, [`forward`] prepares what the
//! upstream gets, [`respond`] writes replies of our own and finishes the upstream's, and
//! [`outcome`] turns what went wrong into a reason, once, and records what happened.

mod arrival;
mod client;
mod exchange;
mod facts;
mod forward;
mod outcome;
mod respond;
pub mod serve;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

use crate::snapshot::Live;
use crate::telemetry::Telemetry;
use exchange::Exchange;

/// Tries of one request that could not be sent to an endpoint.
const MAX_TRIES: usize = 3;

/// Longest time spent on reading the rest of a body for the sake of the connection.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(5);

/// What every request of one worker works with.
pub struct Gateway {
    live: Arc<Live>,
    telemetry: Arc<Telemetry>,
    worker: usize,
}

impl Gateway {
    /// The proxy of one worker.
    pub fn new(live: Arc<Live>, telemetry: Arc<Telemetry>, worker: usize) -> Self {
        Self { live, telemetry, worker }
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(self.live.pin(), Instant::now(), SystemTime::now())
    }

    async fn early_request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<()> {
        exchange.meet(session);
        // The guard knows where this body ends, so an early answer need not cost the connection.
        session.set_close_on_response_before_downstream_finish(false);
        session.set_total_drain_timeout(Some(MAX_DRAIN_TIME));
        if exchange.is_closing() {
            session.set_keepalive(None);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        match arrival::admit(session, exchange) {
            std::ops::ControlFlow::Continue(()) => Ok(false),
            std::ops::ControlFlow::Break(reply) => {
                respond::send(session, exchange, reply).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        forward::peer(session, exchange, Instant::now(), (fastrand::u64(..), fastrand::u64(..)))
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        exchange.fail(outcome::connect_failure(&error, exchange.time_left(Instant::now())), &error);
        // Nothing was sent, so another endpoint may be tried, as Istio does by default.
        error.set_retry(exchange.tries() < MAX_TRIES && !session.as_ref().retry_buffer_truncated());
        error
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _: bool,
        _: &HttpPeer,
        #[cfg(unix)] _: std::os::unix::io::RawFd,
        digest: Option<&pingora::protocols::Digest>,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.connected(digest);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        forward::prepare(session, request, exchange)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.answered(Instant::now());
        respond::admit(session, response)
    }

    fn upstream_response_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        _: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        forward::check_time(exchange, Instant::now())?;
        Ok(None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        respond::finish(session, response, exchange);
        Ok(())
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Exchange) -> FailToProxy {
        outcome::answer(session, error, exchange).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        outcome::record(session, error, exchange, &self.telemetry, self.worker);
    }

    /// Failures are in the access log with flag and details; a second line would only repeat them.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Exchange, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}
