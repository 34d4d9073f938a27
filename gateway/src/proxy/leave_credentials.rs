//! Learns who asks a forward proxy: by `Proxy-Authorization`, a key, or a certificate.
//!
//! What a client says to the proxy is not what it says to the destination: its
//! `Authorization` goes on untouched, and only the proxy's own header is looked at here. The
//! policies that know passwords and tokens are the gateway's usual ones.

use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use pingora::http::RequestHeader;

use super::credentials::is_right;
use super::exchange::Exchange;
use crate::filter::authentication::Asked;
use crate::local_reply::credential_fault::CredentialFault;
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::telemetry::access_metrics::AccessMetrics;

/// Notes who asks, or asks for credentials.
pub(super) async fn identify(request: &RequestHeader, exchange: &mut Exchange, metrics: &AccessMetrics) -> Flow {
    let snapshot = Arc::clone(&exchange.snapshot);
    if snapshot.api_keys.is_empty() && snapshot.basic.is_none() && snapshot.authentication.is_empty() {
        return Flow::Continue(());
    }
    let said = as_said_to_servers(&request.headers);
    let mut principals = Vec::new();
    if !snapshot.api_keys.is_empty() {
        // Keys of a forward proxy stand in headers; the target is the destination's.
        match snapshot.api_keys.judge(&said, "/") {
            Ok(outcome) => principals.extend(outcome.principal),
            Err(fault) => return refuse(exchange, Reason::NoCredential(fault), "Basic realm=\"egress\""),
        }
    }
    if let Some(policy) = &snapshot.basic {
        let judged = async {
            let presented = policy.read(&said)?;
            if let Some(presented) = presented.as_ref().filter(|it| !policy.remembers(it, Instant::now())) {
                if !is_right(policy, presented).await? {
                    return Err(CredentialFault::WrongPassword);
                }
                policy.remember(presented, Instant::now());
            }
            Ok(policy.outcome(&said, presented.as_ref()))
        };
        match judged.await {
            Ok(outcome) => principals.extend(outcome.principal),
            Err(fault) => return refuse(exchange, Reason::NoCredential(fault), "Basic realm=\"egress\""),
        }
    }
    for it in &principals {
        metrics.credentials.with_label_values(&[it.kind, "valid"]).inc();
    }
    exchange.credentials.extend(principals);
    if snapshot.authentication.is_empty() {
        return Flow::Continue(());
    }
    let now = exchange.time.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let asked = Asked { method: request.method.as_str(), target: "/", headers: &said };
    match snapshot.authentication.judge(asked, i64::try_from(now).unwrap_or(i64::MAX)) {
        Ok(outcome) => {
            exchange.identity = outcome.identity;
            Flow::Continue(())
        }
        Err(fault) => {
            metrics.validations.with_label_values(&[fault.name()]).inc();
            refuse(exchange, Reason::Unauthenticated(fault), "Bearer realm=\"egress\"")
        }
    }
}

/// The headers as they would be if the client asked the gateway itself.
fn as_said_to_servers(headers: &HeaderMap) -> HeaderMap {
    let mut said = headers.clone();
    said.remove(header::AUTHORIZATION);
    for value in headers.get_all(header::PROXY_AUTHORIZATION) {
        said.append(header::AUTHORIZATION, value.clone());
    }
    said
}

/// Asks for credentials as a proxy does (RFC 9110 §11.7).
fn refuse(exchange: &mut Exchange, reason: Reason, asks: &'static str) -> Flow {
    exchange.end.reason = Some(reason);
    let mut reply = LocalReply::because(reason);
    if reply.status == StatusCode::UNAUTHORIZED {
        reply.status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        reply.headers.push((header::PROXY_AUTHENTICATE, HeaderValue::from_static(asks)));
    }
    Flow::Break(reply)
}
