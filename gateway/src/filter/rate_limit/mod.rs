//! Says how often a key may ask (the native kind `RateLimitPolicy`): one file for rules, one for keys, one for what clients are told.
//!
//! A rule that applies gives a key; the key's limits are asked for together with those of
//! all other rules of the request ([`crate::quota`]). A rule whose key has a missing part
//! does not apply, unless the policy names what stands for it. Rules of a policy in shadow
//! mode are asked and counted, and refuse nobody.

pub mod key;
pub mod report;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use prometheus::{IntCounter, IntCounterVec};

use self::key::Key;
use crate::origin::DocumentOrigin;
use crate::quota::gcra::{Limit, Standing};
use crate::quota::lease::Lease;
use crate::quota::{Ask, Tag};

/// Where a rule was written, and what it is called.
#[derive(Debug)]
pub struct Identity {
    /// Namespace and name of its policy.
    pub policy: Box<str>,
    /// Its own name.
    pub name: Box<str>,
    /// The document.
    pub origin: Arc<DocumentOrigin>,
    /// Its field there.
    pub field: Box<str>,
}

/// Limits of the requests of one key.
#[derive(Debug)]
pub struct Rule {
    /// What it is called.
    pub identity: Identity,
    /// What requests are told apart by.
    pub key: Key,
    /// The rest of what was written of it.
    pub terms: Terms,
    /// What clients are told.
    pub told: report::Told,
    counts: OnceLock<Counts>,
}

/// A bound on the requests of one key that are in flight.
#[derive(Debug)]
pub struct AtOnce {
    /// What it is called.
    pub identity: Identity,
    /// What requests are told apart by.
    pub key: Key,
    /// Most requests.
    pub most: u32,
    /// Whether it refuses.
    pub enforced: bool,
    /// Status of a refusal.
    pub status: StatusCode,
    counts: OnceLock<Counts>,
}

/// What a request uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Units, where no header says otherwise.
    pub base: u32,
    /// Header of the request that says how many.
    pub request_header: Option<HeaderName>,
    /// Header of the response that says how many more.
    pub response_header: Option<HeaderName>,
}

/// What happens while the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Requests pass.
    Allow,
    /// Requests are refused.
    Deny,
    /// This replica limits by itself.
    Local,
}

/// What refused clients get.
#[derive(Debug)]
pub struct Refusal {
    /// Status.
    pub status: StatusCode,
    /// Body, if the operator has one.
    pub body: Option<Bytes>,
    /// More headers.
    pub headers: Box<[(HeaderName, HeaderValue)]>,
    /// Status of gRPC calls.
    pub grpc_status: u8,
}

/// What became of a request under a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It passes.
    Allowed,
    /// It is refused.
    Limited,
    /// It would be refused.
    WouldLimit,
    /// It passes since the store did not answer.
    ErrorAllowed,
    /// It is refused since the store did not answer.
    ErrorDenied,
    /// This replica alone lets it pass.
    LocallyAllowed,
    /// This replica alone refuses it.
    LocallyLimited,
}

/// All of them, in the order of their counters.
const DECISIONS: [(Decision, &str); 7] = [
    (Decision::Allowed, "allowed"),
    (Decision::Limited, "limited"),
    (Decision::WouldLimit, "would_limit"),
    (Decision::ErrorAllowed, "error_allowed"),
    (Decision::ErrorDenied, "error_denied"),
    (Decision::LocallyAllowed, "local_allowed"),
    (Decision::LocallyLimited, "local_limited"),
];

type Counts = [IntCounter; DECISIONS.len()];

fn count(counts: &OnceLock<Counts>, identity: &Identity, decision: Decision, metrics: &IntCounterVec) {
    let labels = |result| metrics.with_label_values(&[&*identity.policy, &*identity.name, result]);
    let counts = counts.get_or_init(|| DECISIONS.map(|(_, result)| labels(result)));
    for ((it, _), counter) in DECISIONS.iter().zip(counts) {
        if *it == decision {
            counter.inc();
        }
    }
}

/// The parts of a rule besides its name and its key.
#[derive(Debug)]
pub struct Terms {
    /// Its windows.
    pub limits: Arc<[Limit]>,
    /// What a request uses.
    pub cost: Cost,
    /// Whether it refuses.
    pub enforced: bool,
    /// Whether units are taken ahead of need.
    pub lease: Option<Lease>,
    /// What happens while the store does not answer.
    pub on_failure: OnFailure,
    /// What refused clients get.
    pub refusal: Arc<Refusal>,
}

impl Rule {
    /// A rule; `form` says what clients are told of it.
    pub fn new(identity: Identity, key: Key, terms: Terms, form: report::Form) -> Self {
        let told = report::Told::new(form, &identity.name, &terms.limits);
        Self { identity, key, terms, told, counts: OnceLock::new() }
    }

    /// The question about a request of a key.
    pub fn ask(&self, tag: Tag, headers: &HeaderMap) -> Ask {
        let Terms { limits, cost, enforced, lease, on_failure: _, refusal: _ } = &self.terms;
        Ask { tag, limits: Arc::clone(limits), cost: cost.of_request(headers), enforced: *enforced, lease: *lease }
    }

    /// Counts what became of a request.
    pub fn count(&self, decision: Decision, metrics: &IntCounterVec) {
        count(&self.counts, &self.identity, decision, metrics);
    }
}

impl AtOnce {
    /// A bound.
    pub fn new(identity: Identity, key: Key, (most, status): (u32, StatusCode), enforced: bool) -> Self {
        Self { identity, key, most, enforced, status, counts: OnceLock::new() }
    }

    /// Counts what became of a request.
    pub fn count(&self, decision: Decision, metrics: &IntCounterVec) {
        count(&self.counts, &self.identity, decision, metrics);
    }
}

impl Cost {
    /// Units of a request.
    fn of_request(&self, headers: &HeaderMap) -> u32 {
        self.request_header.as_ref().and_then(|it| number(headers, it)).unwrap_or(self.base)
    }

    /// Units that its response adds.
    pub fn of_response(&self, headers: &HeaderMap) -> u32 {
        self.response_header.as_ref().and_then(|it| number(headers, it)).unwrap_or(0)
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// What a rule said of a request.
#[derive(Debug)]
pub struct Verdict {
    /// The rule.
    pub rule: Arc<Rule>,
    /// The key.
    pub tag: Tag,
    /// How its limits stand; empty when nobody knows.
    pub standings: Vec<Standing>,
    /// Whether one of them is over.
    pub is_over: bool,
}

impl Verdict {
    /// Names of the windows that are over.
    pub fn violated(&self) -> impl Iterator<Item = &str> {
        let windows = self.rule.told.names.iter().zip(&self.standings);
        windows.filter(|(_, standing)| standing.wait > 0).map(|(name, _)| name.as_ref())
    }
}
