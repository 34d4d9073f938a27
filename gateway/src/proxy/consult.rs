//! Asks a service outside about a request or a connection, and does to it what the service says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::access;
use super::arrival::Opened;
use super::exchange::Exchange;
use super::facts::protocol;
use crate::filter::external_authorization::{Asked, AskedRequest, BodyTerms, Changes, Custom, Provider};
use crate::filter::external_authorization::{MAX_BODY, Shown, Verdict};
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::telemetry::access_metrics::ExternalMetrics;
use crate::text::with_query;
use crate::upstream::client::Client;

/// What a question works with.
#[derive(Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) client: &'a Client,
    pub(super) metrics: &'a ExternalMetrics,
}

/// Asks about a request, if somebody is to be asked; the target may change.
pub(super) async fn ask(
    session: &mut Session,
    exchange: &mut Exchange,
    opened: Opened,
    tools: Tools<'_>,
) -> Result<Flow<Opened>> {
    let snapshot = Arc::clone(&exchange.snapshot);
    let Some(Custom { rules, provider }) = &snapshot.custom else { return Ok(Flow::Continue(opened)) };
    let request = session.req_header();
    let host = opened.authority.to_ascii_lowercase();
    let concerns = access::subject(request, exchange, (&opened, &host)).is_some_and(|it| rules.concerns(&it));
    let body = match provider.body.filter(|_| concerns) {
        None => None,
        Some(terms) => match hold(session, exchange, terms).await? {
            Flow::Continue(it) => Some(it),
            Flow::Break(reply) => return Ok(Flow::Break(reply)),
        },
    };
    let said = if concerns {
        let asked = asked(session.req_header(), exchange, &opened, body);
        Some(question(provider, asked, tools).await)
    } else {
        None
    };
    let request = session.req_header_mut();
    for name in provider.claimed(&request.headers) {
        request.remove_header(&name);
    }
    Ok(match said {
        None => Flow::Continue(opened),
        Some(Ok(Verdict::Allowed(changes))) => apply(request, exchange, opened, *changes),
        Some(Ok(Verdict::Denied(denial))) => {
            exchange.end.reason = Some(Reason::ExternallyDenied);
            let mut reply = LocalReply::because(Reason::ExternallyDenied);
            (reply.status, reply.headers, reply.body) = (denial.status, denial.headers, denial.body);
            Flow::Break(reply)
        }
        Some(Err(_)) if provider.fails_open => Flow::Continue(opened),
        Some(Err(why)) => {
            exchange.end.reason = Some(Reason::ExternalFailure);
            exchange.end.transport = why;
            let mut reply = LocalReply::because(Reason::ExternalFailure);
            reply.status = provider.status_on_error;
            Flow::Break(reply)
        }
    })
}

/// Asks about a connection without requests; says whether it may stay.
pub(super) async fn admits_connection(
    provider: &Provider,
    (source, destination): (SocketAddr, SocketAddr),
    principal: Option<&str>,
    tools: Tools<'_>,
) -> bool {
    let time = std::time::SystemTime::now();
    let said = question(provider, Asked { request: None, source, destination, principal, time }, tools).await;
    match said {
        Ok(Verdict::Allowed(_)) => true,
        Ok(Verdict::Denied(_)) => false,
        Err(_) => provider.fails_open,
    }
}

/// One question, counted.
async fn question(provider: &Provider, asked: Asked<'_>, tools: Tools<'_>) -> Result<Verdict, String> {
    let started = Instant::now();
    let said = provider.ask(tools.client, &asked, fastrand::u64(..)).await;
    let result = match &said {
        Ok(Verdict::Allowed(_)) => "allowed",
        Ok(Verdict::Denied(_)) => "denied",
        Err(why) => {
            log::debug!("the service {} did not answer: {why}", provider.name);
            if provider.fails_open { "failed_open" } else { "failed" }
        }
    };
    tools.metrics.requests.with_label_values(&[&*provider.name, result]).inc();
    tools.metrics.duration.with_label_values(&[&*provider.name]).observe(started.elapsed().as_secs_f64());
    said
}

fn asked<'a>(request: &'a RequestHeader, exchange: &'a Exchange, opened: &'a Opened, body: Option<Shown>) -> Asked<'a> {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let known = exchange.known();
    let request = AskedRequest {
        method: request.method.as_str(),
        target: &opened.target,
        authority: &opened.authority,
        scheme: opened.scheme.as_str(),
        protocol: protocol(request.version),
        headers: &request.headers,
        body,
    };
    Asked {
        request: Some(request),
        // The client behind trusted proxies; without any, the connection's own end.
        source: known.map_or(nowhere, |it| {
            let peer = it.connection.peer;
            if it.address == peer.ip().to_canonical() { peer } else { SocketAddr::new(it.address, 0) }
        }),
        destination: known.map_or(nowhere, |it| it.connection.local),
        principal: known.and_then(|it| access::principal(it.connection.secured.as_ref()?)),
        time: exchange.time,
    }
}

/// Reads the body as far as it is shown; the upstream gets it nevertheless.
async fn hold(session: &mut Session, exchange: &mut Exchange, terms: BodyTerms) -> Result<Flow<Shown>> {
    await_body(session).await?;
    session.as_mut().enable_retry_buffering();
    let patience = exchange.snapshot.settings.connections.idle_timeout;
    let mut held = BytesMut::new();
    // One byte more than is shown tells whether there is more.
    let is_whole = loop {
        if session.as_mut().is_body_done() {
            break true;
        }
        if held.len() > terms.max {
            break false;
        }
        let part = tokio::time::timeout(patience, session.as_mut().read_request_body()).await;
        let late = |_| {
            let mut error = Error::explain(ErrorType::ReadTimedout, "the body stopped");
            error.as_down();
            error
        };
        match part.map_err(late)?? {
            Some(part) => held.extend_from_slice(&part),
            None => break true,
        }
    };
    let held = held.freeze();
    let is_part = held.len() > terms.max;
    let is_lost = session.as_ref().retry_buffer_truncated() && is_whole;
    if (is_part && !terms.allows_part) || is_lost {
        exchange.end.reason = Some(Reason::BodyTooLong);
        return Ok(Flow::Break(LocalReply::because(Reason::BodyTooLong)));
    }
    if session.as_ref().retry_buffer_truncated() {
        exchange.held = Some(held.clone());
    }
    Ok(Flow::Continue(Shown { bytes: held.slice(..held.len().min(terms.max)), is_part }))
}

/// Tells a client that waits with its body to send it.
async fn await_body(session: &mut Session) -> Result<()> {
    let request = session.req_header();
    let waits =
        request.headers.get(header::EXPECT).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if waits && request.version == http::Version::HTTP_11 {
        session.as_mut().write_continue_response().await?;
        session.req_header_mut().remove_header(&header::EXPECT);
    }
    Ok(())
}

/// Puts what was held of a body before what follows of it.
pub(super) fn give_back(held: &mut Option<Bytes>, body: &mut Option<Bytes>) {
    let Some(held) = held.take() else { return };
    let mut whole = BytesMut::with_capacity(held.len() + MAX_BODY);
    whole.extend_from_slice(&held);
    whole.extend_from_slice(body.as_deref().unwrap_or_default());
    *body = Some(whole.freeze());
}

/// Does to a request what the service said.
fn apply(request: &mut RequestHeader, exchange: &mut Exchange, opened: Opened, changes: Changes) -> Flow<Opened> {
    let Changes { request: headers, remove, response, set_query, remove_query } = changes;
    for change in &headers {
        change.apply(request);
    }
    for name in &remove {
        request.remove_header(name);
    }
    exchange.granted = response;
    if set_query.is_empty() && remove_query.is_empty() {
        return Flow::Continue(opened);
    }
    let target = with_query(&opened.target, &set_query, &remove_query);
    match request.set_raw_path(target.as_bytes()) {
        Ok(()) => Flow::Continue(Opened { target, ..opened }),
        Err(_) => refuse(exchange),
    }
}

fn refuse<T>(exchange: &mut Exchange) -> Flow<T> {
    exchange.end.reason = Some(Reason::ExternalFailure);
    Flow::Break(LocalReply::because(Reason::ExternalFailure))
}
