//! Turns what went wrong into a reason, once, and records what happened.

use std::time::Instant;

use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, Session};
use pingora::{Error, ErrorSource, ErrorType};

use super::exchange::Exchange;
use super::facts::RequestFacts;
use super::respond;
use super::{flags, grpc};
use crate::local_reply::{LocalReply, Reason};
use crate::routing::route::Target;
use crate::snapshot::AccessLog;
use crate::telemetry::Telemetry;
use crate::telemetry::series::{DestinationLabels, Observation};
use crate::upstream::connections::Overflow;

/// Where Istio counts what may not leave.
const BLACK_HOLE: DestinationLabels<'static> =
    DestinationLabels::Cluster { name: "BlackHoleCluster", host: "BlackHoleCluster", namespace: "unknown" };

/// The status that the client got; 0 when it got none.
pub(super) fn status(session: &ServerSession) -> u16 {
    session.response_written().map_or(0, |it| it.status.as_u16())
}

/// Envoy's flags for how the exchange ended.
pub(super) fn flag(exchange: &Exchange, error: Option<&Error>) -> &'static str {
    let base = match exchange.end.reason {
        Some(reason) => reason.flag(),
        None => error.map_or("-", |it| reason(it, exchange).flag()),
    };
    flags::joined(base, exchange.delayed, exchange.attempts.exhausted)
}

/// Envoy's detail for how the exchange ended.
pub(super) fn details<'a>(session: &ServerSession, exchange: &'a Exchange, error: Option<&Error>) -> &'a str {
    if let Some(details) = &exchange.end.details {
        return details;
    }
    let would_deny = exchange.leaving.as_ref().and_then(|it| it.would_deny.as_deref());
    match (exchange.end.reason, error) {
        (None, None) if would_deny.is_some() => would_deny.unwrap_or_default(),
        (Some(reason), _) => reason.details(),
        (None, Some(error)) => reason(error, exchange).details(),
        (None, None) if session.response_written().is_some() => "via_upstream",
        (None, None) => "",
    }
}

/// Why an exchange failed, in our terms.
fn reason(error: &Error, exchange: &Exchange) -> Reason {
    if let Some(reason) = exchange.end.reason {
        return reason;
    }
    if let Some(fault) = exchange.known().and_then(|it| it.connection.fault()) {
        return fault.reason();
    }
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::InvalidHTTPHeader | ErrorType::H1Error) => Reason::MalformedHead,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Reason::BodyTimeout,
        (ErrorSource::Downstream, _) => Reason::ClientGone,
        (ErrorSource::Upstream, _) if exchange.attempts.is_late() => Reason::TryTimeout,
        (ErrorSource::Upstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => {
            match exchange.time_left(Instant::now) {
                Some(left) if left.is_zero() => exchange.late(),
                Some(_) | None => Reason::TryTimeout,
            }
        }
        (
            ErrorSource::Upstream,
            ErrorType::InvalidHTTPHeader
            | ErrorType::H1Error
            | ErrorType::H2Error
            | ErrorType::InvalidH2
            | ErrorType::H2Downgrade,
        ) => Reason::UpstreamProtocol,
        (ErrorSource::Upstream, ErrorType::InvalidCert) => Reason::ConnectFailure,
        (ErrorSource::Upstream, _) => Reason::UpstreamClosed,
        // Pingora's own checks of a request, such as what `Connection` may name.
        (ErrorSource::Internal | ErrorSource::Unset, ErrorType::InvalidHTTPHeader) => Reason::MalformedHead,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Reason::Internal,
    }
}

/// Why no connection came about: too many wait, the endpoint, or the time that is over.
pub(super) fn connect_failure(error: &Error, late: Option<Reason>) -> Reason {
    if error.root_cause().downcast_ref::<Overflow>().is_some() {
        return Reason::Overflow;
    }
    let is_late = matches!(error.etype(), ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout);
    late.filter(|_| is_late).unwrap_or(Reason::ConnectFailure)
}

/// Answers an exchange that failed, if an answer can still be given.
pub(super) async fn answer(session: &mut Session, error: &Error, exchange: &mut Exchange) -> FailToProxy {
    let reason = reason(error, exchange);
    exchange.end.reason = Some(reason);
    if exchange.end.transport.is_empty() && *error.esource() == ErrorSource::Upstream {
        error.etype().as_str().clone_into(&mut exchange.end.transport);
    }
    let is_answered = session.response_written().is_some_and(|it| !it.status.is_informational());
    let can_answer = reason != Reason::ClientGone && !is_answered;
    // Pingora ends the connection after a failed try, so the client must be told.
    session.set_keepalive(None);
    if can_answer && let Err(error) = respond::send(session, exchange, LocalReply::because(reason)).await {
        log::debug!("the client is gone before its answer: {error}");
    }
    FailToProxy { error_code: reason.status(), can_reuse_downstream: false }
}

/// Counts an exchange and writes its access log line.
pub(super) fn record(
    session: &ServerSession,
    error: Option<&Error>,
    exchange: &mut Exchange,
    telemetry: &Telemetry,
    worker: usize,
) {
    let observation = observe(session, error, exchange);
    telemetry.series.observe(&observation);
    if let Some(prefix) = exchange.route().and_then(|it| it.stat_prefix.as_ref()) {
        telemetry.routes.observe(prefix, observation.status, observation.duration);
    }
    if let AccessLog::On { file: _, format } = &exchange.snapshot.settings.access_log {
        let facts = RequestFacts { session, exchange, error, worker };
        telemetry.access_log.append(facts.worker, |line| format.render(&facts, line));
    }
    exchange.attempts.end();
}

fn observe<'a>(session: &ServerSession, error: Option<&Error>, exchange: &'a Exchange) -> Observation<'a> {
    let request = session.req_header();
    let is_grpc = respond::is_grpc(&request.headers);
    let destination = match exchange.forward() {
        _ if matches!(exchange.end.reason, Some(Reason::Egress(_))) => BLACK_HOLE,
        _ if exchange.leaving.is_some() => exchange.leaving.as_deref().map_or(BLACK_HOLE, |it| {
            DestinationLabels::Cluster { name: &it.cluster, host: &it.host, namespace: &it.namespace }
        }),
        None => DestinationLabels::Unknown,
        Some((_, destination)) => match &destination.target {
            Target::Cluster(cluster) => DestinationLabels::Cluster {
                name: cluster.name(),
                host: &cluster.definition().host,
                namespace: &cluster.definition().namespace,
            },
            Target::Missing(name) | Target::Refused(name) => {
                DestinationLabels::Cluster { name, host: name.rsplit('|').next().unwrap_or(name), namespace: "unknown" }
            }
        },
    };
    let of_head = || grpc::status(&session.response_written()?.headers);
    let grpc_status = is_grpc.then(|| exchange.end.grpc_status.or_else(of_head)).flatten();
    let (received, sent) = exchange.known().map_or((0, 0), |it| it.connection.take_wire_bytes());
    Observation {
        destination,
        status: status(session),
        flag: flag(exchange, error),
        is_grpc,
        grpc_status,
        duration: Instant::now() - exchange.started,
        received,
        sent,
    }
}
