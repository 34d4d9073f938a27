//! Asks Envoy's own rate limits about a request: buckets of this process, then the limits of a domain.

use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::http::RequestHeader;

use super::arrival::Opened;
use super::exchange::Exchange;
use super::limit::{GRPC_STATUS, RATE_LIMITED, Tools};
use super::{access, respond};
use crate::filter::descriptor_limit::action::{Asked, Part};
use crate::filter::descriptor_limit::counted::Counted;
use crate::filter::descriptor_limit::service::LimitService;
use crate::filter::descriptor_limit::tree::WindowLimit;
use crate::filter::descriptor_limit::{Bucket, Global, Local, Refusal};
use crate::filter::rate_limit::key::digest_of;
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::quota::Ask;
use crate::quota::gcra::Limit;
use crate::snapshot::Snapshot;

/// gRPC's status of a refusal that says so.
const RESOURCE_EXHAUSTED: u8 = 8;
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What the limits say, with what clients are told of them.
enum Said<'a> {
    Passes(Vec<(HeaderName, HeaderValue)>),
    Refused(&'a Refusal, Vec<(HeaderName, HeaderValue)>),
    /// Nobody knows, and requests are refused then.
    Unknown(StatusCode),
}

/// Asks all of them; the route is found already.
pub(super) async fn check(request: &RequestHeader, exchange: &mut Exchange, opened: &Opened, tools: Tools<'_>) -> Flow {
    let snapshot = Arc::clone(&exchange.snapshot);
    match ask(request, (exchange, &snapshot), opened, tools).await {
        Said::Passes(told) => {
            if !told.is_empty() {
                exchange.quota.get_or_insert_default().told.extend(told);
            }
            Flow::Continue(())
        }
        Said::Refused(refusal, told) => refuse(&request.headers, exchange, refusal, told),
        Said::Unknown(status) => {
            exchange.end.reason = Some(Reason::RateLimitFailure);
            let mut reply = LocalReply::because(Reason::RateLimitFailure);
            reply.status = status;
            Flow::Break(reply)
        }
    }
}

async fn ask<'a>(
    request: &RequestHeader,
    (exchange, snapshot): (&Exchange, &'a Snapshot),
    opened: &Opened,
    tools: Tools<'_>,
) -> Said<'a> {
    let limits = &snapshot.descriptor_limits;
    let host = opened.authority.to_ascii_lowercase();
    let (virtual_host, route) = exchange.place();
    let place = (virtual_host.as_ref(), route.as_ref());
    let cluster = exchange.destination_name();
    let Some(subject) = access::subject(request, exchange, (opened, &host)) else { return Said::Passes(Vec::new()) };
    let asked = Asked { subject: &subject, target: &opened.target, authority: &opened.authority, cluster: &cluster };
    if let Some(local) = limits.local(place.0, place.1) {
        let now = snapshot.counters.moment(Instant::now(), tools.worker).micros;
        let own = limits.bucket(local, asked, place);
        if !in_bucket(local, own, |ask| snapshot.counters.memory.ask(&[ask], now).iter().any(|it| it.is_over)) {
            tools.count("local", &local.name, "limited");
            return Said::Refused(&local.refusal, Vec::new());
        }
    }
    let Some(global) = &limits.global else { return Said::Passes(Vec::new()) };
    if let Some(service) = &global.service {
        return remote((global, service), &limits.descriptors(global, asked, place), tools).await;
    }
    let counted = limits.counted(global, asked, place);
    if counted.is_empty() {
        return Said::Passes(Vec::new());
    }
    let now = exchange.time.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let counts = match &snapshot.counters.redis {
        None => Ok(snapshot.counters.windows.count(counted.iter().map(|it| &it.1), now)),
        Some(redis) => {
            let bounded = |(limit, window): &Counted<'_>| (window.clone(), limit.requests.unwrap_or(u64::MAX));
            redis.count(counted.iter().map(bounded).collect(), (now, fastrand::u64(..)), tools.worker).await
        }
    };
    match counts {
        Ok(counts) => judge(global, (&counted, &counts), now, tools),
        Err(_) => unknown(global, tools),
    }
}

/// What becomes of a request while nobody knows.
fn unknown<'a>(global: &Global, tools: Tools<'_>) -> Said<'a> {
    match global.on_failure {
        None => {
            tools.count(&global.domain, "", "error_allowed");
            Said::Passes(Vec::new())
        }
        Some(status) => {
            tools.count(&global.domain, "", "error_denied");
            Said::Unknown(status)
        }
    }
}

/// What a service says.
async fn remote<'a>(
    (global, service): (&'a Global, &LimitService),
    descriptors: &[Vec<Part<'_>>],
    tools: Tools<'_>,
) -> Said<'a> {
    if descriptors.is_empty() {
        return Said::Passes(Vec::new());
    }
    match service.ask(tools.client, (&global.domain, descriptors), fastrand::u64(..)).await {
        Ok(said) => {
            tools.count(&global.domain, "", if said.is_over { "limited" } else { "allowed" });
            if said.is_over { Said::Refused(&global.refusal, said.headers) } else { Said::Passes(said.headers) }
        }
        Err(why) => {
            log::debug!("the rate-limit service did not answer: {why}");
            unknown(global, tools)
        }
    }
}

/// Whether a request has its tokens; `is_over` takes one.
fn in_bucket(local: &Local, own: Option<(usize, &Bucket)>, is_over: impl Fn(Ask) -> bool) -> bool {
    if !local.enabled.takes(fastrand::u32(..)) {
        return true;
    }
    let ask = |limit: &Limit, number: usize| {
        let tag = digest_of(&["local", &local.name, &number.to_string()]);
        Ask { tag, limits: [*limit].into(), cost: 1, enforced: true, lease: None }
    };
    let is_own_over = own.is_some_and(|(index, it)| is_over(ask(&it.limit, index + 1)));
    let asks_default = own.is_none() || local.always_default;
    let is_default_over = asks_default && local.bucket.as_ref().is_some_and(|limit| is_over(ask(limit, 0)));
    !(is_own_over || is_default_over) || !local.enforced.takes(fastrand::u32(..))
}

/// What the counts say.
fn judge<'a>(global: &'a Global, (counted, counts): (&[Counted<'_>], &[u64]), now: u64, tools: Tools<'_>) -> Said<'a> {
    let mut is_over = false;
    for ((limit, _), count) in counted.iter().zip(counts) {
        let over = limit.requests.is_some_and(|it| *count > it);
        let result = match (over, limit.is_shadow) {
            (false, _) => "allowed",
            (true, true) => "would_limit",
            (true, false) => "limited",
        };
        tools.count(&global.domain, &limit.path, result);
        is_over |= over && !limit.is_shadow;
    }
    let told = if global.refusal.tells { told(counted, counts, now) } else { Vec::new() };
    if is_over { Said::Refused(&global.refusal, told) } else { Said::Passes(told) }
}

/// What the tightest limit leaves (draft 3, as Envoy writes it).
fn told(counted: &[Counted<'_>], counts: &[u64], now: u64) -> Vec<(HeaderName, HeaderValue)> {
    let left = |limit: &WindowLimit, count: u64| limit.requests.unwrap_or(u64::MAX).saturating_sub(count);
    let tightest = counted.iter().zip(counts).min_by_key(|((limit, _), count)| left(limit, **count));
    let Some(((limit, _), count)) = tightest else { return Vec::new() };
    let requests = limit.requests.unwrap_or_default();
    let policy = HeaderValue::try_from(format!("{requests}, {requests};w={}", limit.period));
    let reset = limit.period - now % limit.period.max(1);
    let mut out = vec![(X_REMAINING, HeaderValue::from(left(limit, *count))), (X_RESET, HeaderValue::from(reset))];
    out.extend(policy.ok().map(|it| (X_LIMIT, it)));
    out
}

fn refuse(
    headers: &HeaderMap,
    exchange: &mut Exchange,
    refusal: &Refusal,
    told: Vec<(HeaderName, HeaderValue)>,
) -> Flow {
    exchange.end.reason = Some(Reason::RateLimited);
    exchange.quota.get_or_insert_default().told.extend(told);
    let mut reply = LocalReply::because(Reason::RateLimited);
    reply.status = refusal.status;
    if refusal.is_marked {
        reply.headers.push((RATE_LIMITED, HeaderValue::from_static("true")));
    }
    reply.headers.extend(refusal.headers.iter().cloned());
    if refusal.is_exhausted && respond::is_grpc(headers) {
        reply.headers.push((GRPC_STATUS, HeaderValue::from(u16::from(RESOURCE_EXHAUSTED))));
    }
    Flow::Break(reply)
}
