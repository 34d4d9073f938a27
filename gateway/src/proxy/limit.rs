//! Asks the rate limits about a request, before authentication and behind access policies.
//!
//! Places among the requests in flight are taken first: they cost nothing that would have
//! to be given back. Then all rules are asked together. While the store does not answer,
//! each rule decides by its own `onStoreFailure`.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;
use prometheus::IntCounterVec;
use serde_json::json;

use super::arrival::{self, Opened};
use super::exchange::Exchange;
use super::{access, respond};
use crate::filter::rate_limit::report::{self, seconds};
use crate::filter::rate_limit::{Decision, OnFailure, Rule, Verdict};
use crate::local_reply::{Flow, LocalReply, Reason};
use crate::quota::concurrency::Place;
use crate::quota::counters::Moment;
use crate::quota::redis::failure::Failure;
use crate::quota::{Answer, Ask, MAX_ASKED, admits};
use crate::upstream::client::Client;

/// Envoy's mark of a request that a limit refused.
pub(super) const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");
/// gRPC's own status of a reply.
pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// What a refusal is called (draft-ietf-httpapi-ratelimit-headers).
const PROBLEM: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// When limits are asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before credentials are looked at.
    Before,
    /// Behind access policies, with a route.
    Behind,
}

/// What the limits work with.
#[derive(Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) decisions: &'a IntCounterVec,
    pub(super) client: &'a Client,
    pub(super) worker: usize,
}

impl Tools<'_> {
    /// Counts a decision that has no counters of its own at hand.
    pub(super) fn count(&self, policy: &str, rule: &str, result: &str) {
        self.decisions.with_label_values(&[policy, rule, result]).inc();
    }
}

/// Whether any limit could be for a request.
pub(super) fn concerns(exchange: &Exchange, stage: Stage) -> bool {
    let snapshot = &exchange.snapshot;
    match stage {
        Stage::Before => snapshot.limits_ahead || !snapshot.limits.before.is_empty(),
        Stage::Behind => !snapshot.limits.after.is_empty() || exchange.route().is_some_and(|it| it.limits.is_some()),
    }
}

/// Asks all limits of a stage about a request.
pub(super) async fn check(
    request: &RequestHeader,
    exchange: &mut Exchange,
    opened: &Opened,
    stage: Stage,
    tools: Tools<'_>,
) -> Flow {
    let (asked, places) = match gather(request, exchange, opened, stage, tools) {
        Ok(it) => it,
        Err(reply) => {
            exchange.end.reason = Some(reply.reason);
            return Flow::Break(*reply);
        }
    };
    let quota = exchange.quota.get_or_insert_default();
    quota.places.extend(places);
    if asked.is_empty() {
        return Flow::Continue(());
    }
    let (rules, asks): (Vec<Arc<Rule>>, Vec<Ask>) = asked.into_iter().unzip();
    let counters = exchange.snapshot.counters.clone();
    let moment = counters.moment(Instant::now(), tools.worker);
    let answers = match &counters.redis {
        None => Ok(counters.memory.ask(&asks, moment.micros)),
        // Boxed, so that requests that need no Redis do not carry it.
        Some(remote) => Box::pin(remote.ask(&asks, moment)).await,
    };
    match answers {
        Ok(answers) => settle(request, exchange, (rules, &asks, answers), tools),
        Err(failure) => without_store(request, exchange, (rules, asks, failure), (tools, moment)),
    }
}

type Gathered = (Vec<(Arc<Rule>, Ask)>, Vec<Place>);

/// The questions that a request raises, and its places among those in flight.
fn gather(
    request: &RequestHeader,
    exchange: &Exchange,
    opened: &Opened,
    stage: Stage,
    tools: Tools<'_>,
) -> Result<Gathered, Box<LocalReply>> {
    let host = opened.authority.to_ascii_lowercase();
    let Some(subject) = access::subject(request, exchange, (opened, &host)) else { return Ok(Gathered::default()) };
    let asked = arrival::asked(request, exchange, opened, exchange.identity.as_deref());
    let own = match stage {
        Stage::Before => arrival::preview(exchange, &asked).and_then(|it| it.limits.clone()),
        Stage::Behind => exchange.route().and_then(|it| it.limits.clone()),
    };
    let staged = std::iter::once(&exchange.snapshot.limits).chain(own.as_deref());
    let all = staged.map(|it| match stage {
        Stage::Before => &it.before,
        Stage::Behind => &it.after,
    });
    let (mut rules, mut places) = Gathered::default();
    for limits in all {
        for it in limits.at_once.iter().filter(|it| it.is_for(&asked, &subject)) {
            let Some(tag) = it.limit.key.of(&subject, &opened.target) else { continue };
            match exchange.snapshot.counters.in_flight.enter(tag, it.limit.most) {
                Some(place) => {
                    places.push(place);
                    it.limit.count(Decision::Allowed, tools.decisions);
                }
                None if it.limit.enforced => {
                    it.limit.count(Decision::Limited, tools.decisions);
                    let mut reply = LocalReply::because(Reason::TooManyAtOnce);
                    reply.status = it.limit.status;
                    return Err(Box::new(reply));
                }
                None => it.limit.count(Decision::WouldLimit, tools.decisions),
            }
        }
        for it in limits.rules.iter().filter(|it| it.is_for(&asked, &subject)) {
            if rules.len() < MAX_ASKED
                && let Some(tag) = it.limit.key.of(&subject, &opened.target)
            {
                rules.push((Arc::clone(&it.limit), it.limit.ask(tag, &request.headers)));
            }
        }
    }
    Ok((rules, places))
}

/// Does what the limits say.
fn settle(
    request: &RequestHeader,
    exchange: &mut Exchange,
    (rules, asks, answers): (Vec<Arc<Rule>>, &[Ask], Vec<Answer>),
    tools: Tools<'_>,
) -> Flow {
    let passes = admits(asks, &answers);
    let verdicts = rules.into_iter().zip(asks).zip(answers).map(|((rule, ask), answer)| {
        rule.count(
            match (answer.is_over, ask.enforced) {
                (false, _) => Decision::Allowed,
                (true, true) => Decision::Limited,
                (true, false) => Decision::WouldLimit,
            },
            tools.decisions,
        );
        Verdict { rule, tag: ask.tag, standings: answer.standings, is_over: answer.is_over }
    });
    let quota = exchange.quota.get_or_insert_default();
    quota.verdicts.extend(verdicts);
    if passes {
        return Flow::Continue(());
    }
    let reply = refusal(&request.headers, &quota.verdicts);
    exchange.end.reason = Some(reply.reason);
    Flow::Break(reply)
}

/// Each rule does what it says for this case.
fn without_store(
    request: &RequestHeader,
    exchange: &mut Exchange,
    (rules, asks, failure): (Vec<Arc<Rule>>, Vec<Ask>, Failure),
    (tools, moment): (Tools<'_>, Moment),
) -> Flow {
    log::debug!("rate limits without Redis: {}", failure.name());
    let mut local = (Vec::new(), Vec::new());
    let mut is_denied = false;
    for (rule, ask) in rules.into_iter().zip(asks) {
        match rule.terms.on_failure {
            OnFailure::Local => {
                local.0.push(rule);
                local.1.push(ask);
            }
            OnFailure::Deny if ask.enforced => {
                is_denied = true;
                rule.count(Decision::ErrorDenied, tools.decisions);
            }
            OnFailure::Deny | OnFailure::Allow => rule.count(Decision::ErrorAllowed, tools.decisions),
        }
    }
    if is_denied {
        exchange.end.reason = Some(Reason::RateLimitFailure);
        return Flow::Break(LocalReply::because(Reason::RateLimitFailure));
    }
    let (rules, asks) = local;
    let answers = exchange.snapshot.counters.memory.ask(&asks, moment.micros);
    for (rule, answer) in rules.iter().zip(&answers) {
        let decision = if answer.is_over { Decision::LocallyLimited } else { Decision::LocallyAllowed };
        rule.count(decision, tools.decisions);
    }
    settle(request, exchange, (rules, &asks, answers), tools)
}

/// What a client gets whose request is over its limits.
fn refusal(headers: &HeaderMap, verdicts: &[Verdict]) -> LocalReply {
    let mut reply = LocalReply::because(Reason::RateLimited);
    let over = || verdicts.iter().filter(|it| it.is_over && it.rule.terms.enforced);
    let Some(first) = over().next() else { return reply };
    let refusal = &first.rule.terms.refusal;
    reply.status = refusal.status;
    reply.headers.push((RATE_LIMITED, HeaderValue::from_static("true")));
    let wait = over().flat_map(|it| &it.standings).map(|it| it.wait).max().unwrap_or_default();
    if wait != u64::MAX {
        reply.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds(wait).max(1))));
    }
    reply.headers.extend(refusal.headers.iter().cloned());
    if respond::is_grpc(headers) {
        reply.headers.push((GRPC_STATUS, HeaderValue::from(u16::from(refusal.grpc_status))));
    } else if let Some(body) = &refusal.body {
        reply.body = body.clone();
    } else if accepts_json(headers) {
        let violated: Vec<&str> = over().flat_map(Verdict::violated).collect();
        let problem = json!({
            "type": PROBLEM,
            "title": "Request cannot be satisfied as assigned quota has been exceeded",
            "status": reply.status.as_u16(),
            "violated-policies": violated,
        });
        reply.body = Bytes::from(problem.to_string());
        reply.headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json")));
    }
    reply
}

/// Whether a client names JSON among what it takes.
fn accepts_json(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|it| it.to_str().is_ok_and(|it| it.contains("json")))
}

/// Tells a client what its limits leave.
pub(super) fn report(exchange: &Exchange) -> Vec<(HeaderName, HeaderValue)> {
    let told = exchange.quota.as_ref().map(|it| [report::headers(&it.verdicts), it.told.clone()].concat());
    told.unwrap_or_default()
}

/// Uses up what a response says that it cost.
pub(super) fn charge(exchange: &mut Exchange, response: &HeaderMap, worker: usize) {
    let Some(quota) = &exchange.quota else { return };
    let counters = &exchange.snapshot.counters;
    let mut remote: Vec<Ask> = Vec::new();
    for verdict in &quota.verdicts {
        let units = verdict.rule.terms.cost.of_response(response);
        if units == 0 {
            continue;
        }
        let limits = Arc::clone(&verdict.rule.terms.limits);
        if counters.redis.is_none() {
            let moment = counters.moment(Instant::now(), worker);
            counters.memory.charge(verdict.tag, &limits, units, moment.micros);
        }
        remote.push(Ask { tag: verdict.tag, limits, cost: units, enforced: true, lease: None });
    }
    if let Some(redis) = counters.redis.clone().filter(|_| !remote.is_empty()) {
        // Nobody waits for it; a failure is counted by the store.
        tokio::spawn(async move { redis.store.charge(remote, worker).await });
    }
}
