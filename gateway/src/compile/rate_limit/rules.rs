//! Lowers the rules of one RateLimitPolicy.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config_schema::native::rate_limit_policy::{
    ConcurrencyRule, Consistency, ConsistencyType, Cost as WrittenCost, CostSource, GrpcRefusal, Mode, OnStoreFailure,
    RateLimit, RateLimitHeaders, RateLimitPolicy, RateLimitResponse, RateLimitRule, Stage,
};
use config_schema::problem::code;
use config_schema::{Config, Problem, Resource, Severity};
use http::{HeaderName, HeaderValue, StatusCode};

use super::key_parts::part;
use super::predicates::predicates;
use crate::compile::{matches, origins};
use crate::filter::rate_limit::key::Key;
use crate::filter::rate_limit::report::Form;
use crate::filter::rate_limit::{AtOnce, Cost, Identity, OnFailure, Refusal, Rule, Terms};
use crate::quota::gcra::Limit;
use crate::quota::lease::Lease;
use crate::routing::limits::{Guarded, Limits};

/// How long units are leased when the policy does not say.
const LEASE: Duration = Duration::from_secs(1);
/// gRPC's statuses of a refusal.
const RESOURCE_EXHAUSTED: u8 = 8;
const UNAVAILABLE: u8 = 14;

/// Limits of a stage in the making.
#[derive(Default, Clone)]
pub(super) struct Draft {
    pub(super) rules: Vec<Guarded<Rule>>,
    at_once: Vec<Guarded<AtOnce>>,
}

impl Draft {
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.at_once.is_empty()
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.rules.extend(other.rules.iter().cloned());
        self.at_once.extend(other.at_once.iter().cloned());
    }

    pub(super) fn finish(self) -> Limits {
        Limits { rules: self.rules.into(), at_once: self.at_once.into() }
    }
}

/// The limits of a policy, and the number of its stage.
pub(super) fn draft(policy: &Resource<RateLimitPolicy>, config: &Config) -> Result<(usize, Draft), Box<Problem>> {
    let RateLimitPolicy {
        selector: _,
        target_refs: _,
        stage,
        mode,
        on_store_failure,
        consistency,
        rules,
        concurrency,
        response,
        headers,
    } = policy.spec.as_ref();
    let enforced = *mode != Some(Mode::Shadow);
    let refusal = Arc::new(refusal(response));
    let (lease, on_failure) = (lease(consistency.as_ref()), on_failure(*on_store_failure));
    let form = form(*headers);
    let name = format!("{}/{}", policy.metadata.namespace, policy.metadata.name);
    let origin = origins::of(policy, config);
    let identity = |rule: &str, field: String| Identity {
        policy: name.as_str().into(),
        name: rule.into(),
        origin: Arc::clone(&origin),
        field: field.into(),
    };
    let mut draft = Draft::default();
    for (index, written) in rules.iter().enumerate() {
        let RateLimitRule { name: rule, matches, key, limits: _, cost: price, exempt } = written;
        let limits = limits(policy, index, written)?;
        let refusal = Arc::clone(&refusal);
        let terms = Terms { limits, cost: cost(price.as_ref()), enforced, lease, on_failure, refusal };
        let key = Key::new(&name, rule, key.iter().filter_map(part).collect());
        draft.rules.push(Guarded {
            matches: predicates(matches)?,
            exempt: predicates(exempt)?,
            limit: Arc::new(Rule::new(identity(rule, format!("spec.rules[{index}]")), key, terms, form)),
        });
    }
    for (index, written) in concurrency.iter().enumerate() {
        let ConcurrencyRule { name: rule, matches, key, requests, status } = written;
        let key = Key::new(&name, rule, key.iter().filter_map(part).collect());
        let status = if *status == 429 { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::SERVICE_UNAVAILABLE };
        let identity = identity(rule, format!("spec.concurrency[{index}]"));
        draft.at_once.push(Guarded {
            matches: predicates(matches)?,
            exempt: Arc::default(),
            limit: Arc::new(AtOnce::new(identity, key, (*requests, status), enforced)),
        });
    }
    Ok((usize::from(*stage != Some(Stage::BeforeAuthentication)), draft))
}

fn lease(written: Option<&Consistency>) -> Option<Lease> {
    let Consistency { kind, share, max_age } = written?;
    match kind.unwrap_or(ConsistencyType::Strict) {
        ConsistencyType::Strict => None,
        ConsistencyType::Leased => Some(Lease { share: *share, max_age: max_age.map_or(LEASE, |it| it.0) }),
    }
}

fn on_failure(written: Option<OnStoreFailure>) -> OnFailure {
    match written.unwrap_or(OnStoreFailure::Local) {
        OnStoreFailure::Allow => OnFailure::Allow,
        OnStoreFailure::Deny => OnFailure::Deny,
        OnStoreFailure::Local => OnFailure::Local,
    }
}

fn form(written: Option<RateLimitHeaders>) -> Form {
    match written.unwrap_or(RateLimitHeaders::Draft) {
        RateLimitHeaders::Draft => Form::Draft,
        RateLimitHeaders::XRateLimit => Form::XRateLimit,
        RateLimitHeaders::Split => Form::Split,
        RateLimitHeaders::Off => Form::Off,
    }
}

fn limits(
    policy: &Resource<RateLimitPolicy>,
    rule: usize,
    written: &RateLimitRule,
) -> Result<Arc<[Limit]>, Box<Problem>> {
    let each = |(index, it): (usize, &RateLimit)| {
        let per = it.per.map_or(Duration::ZERO, |it| it.0);
        Limit::new(it.requests, per, it.burst).ok_or_else(|| {
            let field = format!("spec.rules[{rule}].limits[{index}]");
            let message = "these numbers are too large to be counted exactly";
            let problem = policy.problem(code::SCHEMA, Severity::Error, field, message);
            Box::new(problem.help("a smaller burst, a shorter period, or numbers with a common divisor can be"))
        })
    };
    written.limits.iter().enumerate().map(each).collect()
}

fn refusal(written: &RateLimitResponse) -> Refusal {
    let RateLimitResponse { status, body, headers, grpc_status } = written;
    let status = matches::status(*status);
    let header = |(name, value): (&String, &String)| {
        Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
    };
    Refusal {
        status: status.unwrap_or(StatusCode::TOO_MANY_REQUESTS),
        body: body.as_ref().map(|it| Bytes::from(it.clone())),
        headers: headers.iter().filter_map(header).collect(),
        grpc_status: match grpc_status.unwrap_or(GrpcRefusal::ResourceExhausted) {
            GrpcRefusal::ResourceExhausted => RESOURCE_EXHAUSTED,
            GrpcRefusal::Unavailable => UNAVAILABLE,
        },
    }
}

fn cost(written: Option<&WrittenCost>) -> Cost {
    let header = |name: &str| HeaderName::try_from(name).ok();
    match written {
        None => Cost { base: 1, request_header: None, response_header: None },
        Some(WrittenCost::Fixed(units)) => Cost { base: *units, request_header: None, response_header: None },
        Some(WrittenCost::Told(CostSource { request_header, response_header, default })) => Cost {
            base: default.unwrap_or(1),
            request_header: header(request_header),
            response_header: header(response_header),
        },
    }
}
