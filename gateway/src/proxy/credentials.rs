//! Looks at the keys and passwords of a request, before tokens: who shows one must show a right one.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use tokio::sync::Semaphore;

use super::arrival::Opened;
use super::exchange::Exchange;
use crate::filter::basic_authentication::{BasicAuthentication, Presented};
use crate::filter::credential::Outcome;
use crate::local_reply::credential_fault::CredentialFault;
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::telemetry::access_metrics::AccessMetrics;

/// Most passwords that are being checked or wait for it.
const MAX_WAITING: usize = 256;
/// Most that are being checked at once: each takes a processor for itself.
const MAX_CHECKED: usize = 2;

static WAITING: Semaphore = Semaphore::const_new(MAX_WAITING);
static CHECKED: Semaphore = Semaphore::const_new(MAX_CHECKED);

/// Asks for what the policies ask for; the target may lose a key.
pub(super) async fn identify(
    session: &mut Session,
    exchange: &mut Exchange,
    mut opened: Opened,
    metrics: &AccessMetrics,
) -> Flow<Opened> {
    let snapshot = Arc::clone(&exchange.snapshot);
    if is_preflight(session.req_header()) {
        return Flow::Continue(opened);
    }
    if !snapshot.api_keys.is_empty() {
        let policy = &snapshot.api_keys;
        if policy.own.is_named(session.req_header().headers.get_all(header::CONNECTION)) {
            return refuse(exchange, LocalReply::because(Reason::MalformedHead));
        }
        let judged = policy.judge(&session.req_header().headers, &opened.target);
        let outcome = judged.map_err(|fault| (fault, "apikey"));
        opened = settle(session.req_header_mut(), exchange, (opened, metrics), outcome)?;
    }
    if let Some(policy) = &snapshot.basic {
        if policy.own.is_named(session.req_header().headers.get_all(header::CONNECTION)) {
            return refuse(exchange, LocalReply::because(Reason::MalformedHead));
        }
        let outcome = password(policy, &session.req_header().headers).await.map_err(|fault| (fault, "basic"));
        opened = settle(session.req_header_mut(), exchange, (opened, metrics), outcome)?;
    }
    Flow::Continue(opened)
}

/// A preflight cannot carry credentials, and browsers do not show why it was refused.
fn is_preflight(request: &RequestHeader) -> bool {
    request.method == http::Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Judges a password; one that was not checked lately is checked off this thread.
async fn password(policy: &BasicAuthentication, headers: &HeaderMap) -> Result<Outcome, CredentialFault> {
    let presented = policy.read(headers)?;
    if let Some(presented) = presented.as_ref().filter(|it| !policy.remembers(it, Instant::now())) {
        if !is_right(policy, presented).await? {
            return Err(CredentialFault::WrongPassword);
        }
        policy.remember(presented, Instant::now());
    }
    Ok(policy.outcome(headers, presented.as_ref()))
}

pub(super) async fn is_right(policy: &BasicAuthentication, presented: &Presented) -> Result<bool, CredentialFault> {
    let Some(check) = policy.check(presented) else { return Ok(false) };
    let _waiting = WAITING.try_acquire().map_err(|_| CredentialFault::Busy)?;
    let _checked = CHECKED.acquire().await.map_err(|_| CredentialFault::Busy)?;
    tokio::task::spawn_blocking(move || check.run()).await.map_err(|_| CredentialFault::Busy)
}

/// Does to a request what its credential comes to.
fn settle(
    request: &mut RequestHeader,
    exchange: &mut Exchange,
    (opened, metrics): (Opened, &AccessMetrics),
    outcome: Result<Outcome, (CredentialFault, &'static str)>,
) -> Flow<Opened> {
    let count = |kind: &str, result: &str| metrics.credentials.with_label_values(&[kind, result]).inc();
    let Outcome { principal, remove, set, target } = match outcome {
        Ok(it) => it,
        Err((fault, kind)) => {
            count(kind, fault.details());
            let reply = challenge(exchange, fault, &opened);
            return refuse(exchange, reply);
        }
    };
    for name in remove {
        request.remove_header(&name);
    }
    for (name, value) in set {
        // The names were checked when the policy was compiled.
        request.insert_header(name, value).unwrap_or_default();
    }
    if let Some(principal) = principal {
        count(principal.kind, "valid");
        exchange.credentials.push(principal);
    }
    let Some(target) = target else { return Flow::Continue(opened) };
    match request.set_raw_path(target.as_bytes()) {
        Ok(()) => Flow::Continue(Opened { target, ..opened }),
        Err(_) => refuse(exchange, LocalReply::because(Reason::BadPath)),
    }
}

/// A refusal that says how a client can do better.
fn challenge(exchange: &Exchange, fault: CredentialFault, opened: &Opened) -> LocalReply {
    let mut reply = LocalReply::because(Reason::NoCredential(fault));
    let asks = matches!(fault, CredentialFault::MissingPassword | CredentialFault::WrongPassword);
    if let Some(policy) = exchange.snapshot.basic.as_ref().filter(|_| asks) {
        let own = || format!("{}://{}{}", opened.scheme.as_str(), opened.authority, opened.path());
        let realm = policy.realm.as_deref().map_or_else(own, str::to_owned);
        if let Ok(value) = HeaderValue::try_from(format!("Basic realm=\"{realm}\"")) {
            reply.headers.push((header::WWW_AUTHENTICATE, value));
        }
    }
    reply
}

fn refuse<T>(exchange: &mut Exchange, reply: LocalReply) -> Flow<T> {
    exchange.end.reason = Some(reply.reason);
    Flow::Break(reply)
}
