//! The life of a request, in Pingora's phases.
//!
//! `serve` runs a connection and gives each admitted request to Pingora, which calls back
//! here: [`arrival`] reads the request and finds its route, [`forward`] prepares what the
//! upstream gets, [`respond`] writes replies of our own and finishes the upstream's, and
//! [`outcome`] turns what went wrong into a reason, once, and records what happened. A
//! tunnel over HTTP/1.1 goes the same way without Pingora ([`serve_connect`]).

mod access;
mod affinity;
mod arrival;
mod attempt;
mod client;
mod client_cert;
mod connect;
mod consult;
mod credentials;
mod descriptor_limit;
mod door;
mod dynamic;
mod exchange;
mod facts;
mod grpc;
mod flags;
mod forward;
mod gateway;
mod intercept;
mod leave;
mod leave_credentials;
mod limit;
mod mirror;
mod outcome;
mod respond;
mod serve_connect;
mod stand_in;
mod tcp;
mod timeout;
mod try_clock;
mod tunnel_io;
pub mod serve;

use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::local_reply::Reason;
use crate::upstream::connection::Unusable;
use crate::upstream::retry::Failure;
use attempt::Chance;
use exchange::Exchange;
use gateway::Found;
pub use gateway::Gateway;

/// More tries of one request than any policy admits; Pingora stops there.
const MAX_TRIES: usize = 40;

/// Longest time spent on reading the rest of a body for the sake of the connection.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(5);

fn chance() -> Chance {
    Chance { endpoint: fastrand::u64(..), pause: fastrand::u64(..) }
}

#[async_trait]
impl ProxyHttp for Gateway {
    /// Boxed, since Pingora moves it through several futures before the first hook sees it.
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(Exchange::new(self.live.pin(), Instant::now(), SystemTime::now()))
    }

    /// None: Pingora would keep one for compression, which is not offered, and ask it at every step.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, exchange: &mut Self::CTX) -> Result<()> {
        exchange.meet(session);
        // The guard knows where this body ends, so an early answer need not cost the connection.
        session.set_close_on_response_before_downstream_finish(false);
        session.set_total_drain_timeout(Some(MAX_DRAIN_TIME));
        if exchange.is_closing() {
            session.set_keepalive(None);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Self::CTX) -> Result<bool> {
        let found = self.find(session, exchange).await?;
        arrival::delay(exchange).await;
        let admitted = match found {
            Found::Forward => {
                grpc::bridge(session.req_header_mut(), exchange);
                arrival::place(exchange, Instant::now)
            }
            Found::Reply(reply) => ControlFlow::Break(reply),
            Found::Done => return Ok(true),
        };
        match admitted {
            ControlFlow::Continue(()) => Ok(false),
            ControlFlow::Break(reply) => {
                respond::send(session, exchange, reply).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let peer = attempt::next(session, exchange, chance()).await;
        peer.map_err(|reason| forward::give_up(exchange, reason))
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        exchange: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let late = exchange.time_left(Instant::now).filter(Duration::is_zero).map(|_| exchange.late());
        let reason = outcome::connect_failure(&error, late);
        exchange.fail(reason, &error);
        // An overflow is the gateway's own; it says nothing of the endpoint.
        let repeats = reason != Reason::Overflow && attempt::failed(session, exchange, Failure::Connect, false);
        error.set_retry(repeats);
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Self::CTX,
        reused: bool,
    ) -> Box<Error> {
        // Nothing was sent; the next connection of the same try is taken.
        if exchange.attempts.again {
            return error;
        }
        if exchange.repeats_answer {
            exchange.repeats_answer = false;
            return error;
        }
        let is_theirs = *error.esource() == ErrorSource::Upstream && exchange.end.reason.is_none();
        error.set_retry(is_theirs && attempt::failed(session, exchange, attempt::failure(&error, exchange), reused));
        error
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _: bool,
        _: &HttpPeer,
        #[cfg(unix)] _: std::os::unix::io::RawFd,
        digest: Option<&pingora::protocols::Digest>,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        exchange.connected(digest, Instant::now).map_err(|unusable| match unusable {
            Unusable::Closing => {
                let mut error = Error::explain(ErrorType::ConnectionClosed, "it takes no more requests");
                error.set_retry(true);
                error
            }
            Unusable::Revoked => {
                let mut error = Error::explain(ErrorType::InvalidCert, "the certificate is revoked");
                error.as_up();
                error
            }
        })
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        forward::prepare(session, request, exchange)?;
        grpc::request_head(request, exchange)?;
        exchange.copies.take_head(request);
        if session.is_body_empty() {
            self.mirrors.send(&mut exchange.copies, || fastrand::u64(..));
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        ends: bool,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        consult::give_back(&mut exchange.held, body);
        grpc::request_body(body, ends, exchange)?;
        if let Some(part) = body {
            exchange.copies.take_body(part);
        }
        if ends {
            self.mirrors.send(&mut exchange.copies, || fastrand::u64(..));
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        respond::admit(session, response)?;
        let switches = response.status == http::StatusCode::SWITCHING_PROTOCOLS;
        if response.status.is_informational() && !switches {
            return Ok(());
        }
        attempt::check_time(exchange)?;
        if attempt::answered(session, exchange, response.status.as_u16(), &response.headers) {
            exchange.repeats_answer = true;
            let mut error = Error::explain(ErrorType::HTTPStatus(response.status.as_u16()), "the policy repeats it");
            error.as_up();
            error.set_retry(true);
            return Err(error);
        }
        exchange.answered(Instant::now());
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        _: bool,
        exchange: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        forward::check_time(exchange, Instant::now)?;
        Ok(None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        limit::charge(exchange, &response.headers, self.worker);
        respond::finish(session, response, exchange);
        grpc::response_head(response, exchange)
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        exchange: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        grpc::response_body(body, exchange);
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        exchange: &mut Self::CTX,
    ) -> Result<Option<Bytes>> {
        exchange.end.grpc_status = grpc::status(trailers);
        Ok(exchange.bridge.as_ref().map(|it| it.trailers(trailers)))
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Self::CTX) -> FailToProxy {
        outcome::answer(session, error, exchange).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Self::CTX) {
        outcome::record(session, error, exchange, &self.telemetry, self.worker);
    }

    /// Failures are in the access log with flag and details; a second line would only repeat them.
    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Self::CTX, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}
