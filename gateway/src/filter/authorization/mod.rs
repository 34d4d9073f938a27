//! Says who may do what (Istio's AuthorizationPolicy): any DENY that matches refuses, then, if there is an ALLOW, one must match.
//!
//! Policies are compiled: values are hashed or indexed, and rules are found by the path or
//! host that they ask for, so that their number hardly counts. What a rule asks of HTTP is
//! unknown of a bare connection; then an ALLOW rule does not match and a DENY rule is judged
//! by the rest, so that ignorance never lets anybody in.

pub mod index;
pub mod subject;
pub mod tell;
pub mod values;

use std::sync::Arc;

use self::index::RuleIndex;
use self::subject::Subject;
use self::values::{Accounts, Principals, Texts};
use crate::network::set::Networks;
use http::HeaderName;

use crate::filter::authentication::claims::ClaimPath;
use crate::origin::DocumentOrigin;

/// The policies that apply, by what they do.
#[derive(Debug, Default)]
pub struct Authorization {
    deny: Group,
    allow: Group,
    audit: Group,
    /// Whether there is an ALLOW policy, so that one must match.
    asks_for_permission: bool,
    /// The same of policies that are only rehearsed.
    rehearsed: Option<Box<Authorization>>,
}

/// The rules of all policies of one action.
#[derive(Debug, Default)]
pub struct Group {
    rules: Box<[Rule]>,
    index: RuleIndex,
}

/// One rule: one of `from`, one of `to`, and all of `when` must hold; nothing asked holds.
#[derive(Debug)]
pub struct Rule {
    /// `ns[namespace]-policy[name]-rule[index]`, as Envoy logs it.
    pub name: Arc<str>,
    /// Policy that it stands in.
    pub origin: Arc<DocumentOrigin>,
    /// Its index there.
    pub index: usize,
    /// Who asks.
    pub from: Box<[Box<[Test]>]>,
    /// What is asked.
    pub to: Box<[Box<[Test]>]>,
    /// What else holds.
    pub when: Box<[Test]>,
}

/// One question about one attribute.
#[derive(Debug)]
pub struct Test {
    /// What is asked of.
    pub attribute: Attribute,
    /// Whether it must not hold.
    pub negated: bool,
}

/// An attribute with the values that are asked for.
#[derive(Debug)]
pub enum Attribute {
    /// Identity of the client certificate, without `spiffe://`.
    Principal(Texts),
    /// Its namespace.
    Namespace(Texts),
    /// Its service account.
    ServiceAccount(Accounts),
    /// Its trust domain.
    TrustDomain(Texts),
    /// Address of the connection's peer.
    Peer(Networks),
    /// Address of the client behind trusted proxies.
    Client(Networks),
    /// Address that the connection came to.
    Destination(Networks),
    /// Declared port of the listener.
    Port(Box<[u16]>),
    /// Server name of the handshake.
    ServerName(Texts),
    /// Issuer and subject of the token.
    RequestPrincipal(Principals),
    /// Audiences of the token.
    Audience(Texts),
    /// Presenter of the token.
    Presenter(Texts),
    /// A claim of the token.
    Claim(ClaimPath, Texts),
    /// Host with port, as sent, in lower case.
    Host(Texts),
    /// Method.
    Method(Texts),
    /// Normalised path without query.
    Path(Texts),
    /// A header.
    Header(HeaderName, Texts),
}

/// What the policies say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allowed,
    /// No; the rule that said so, or none when nothing allowed it.
    Denied(Option<Arc<str>>),
}

/// Whether a test counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ignorance {
    /// What is unknown does not hold.
    Fails,
    /// What is unknown is not asked.
    Skips,
}

impl Group {
    /// A group of rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { index: RuleIndex::new(&rules), rules: rules.into() }
    }

    /// Whether a rule matches, by what is known of a bare connection.
    pub fn concerns(&self, subject: &Subject<'_>) -> bool {
        self.find(subject, Ignorance::Skips).is_some()
    }

    /// The first rule that matches.
    fn find(&self, subject: &Subject<'_>, ignorance: Ignorance) -> Option<&Rule> {
        let Some(http) = &subject.http else { return self.rules.iter().find(|it| it.matches(subject, ignorance)) };
        let mut candidates = self.index.candidates(http.path, http.host);
        candidates.find_map(|index| self.rules.get(index).filter(|it| it.matches(subject, ignorance)))
    }
}

impl Rule {
    /// Whether it matches; the slow way for all of its parts.
    fn matches(&self, subject: &Subject<'_>, ignorance: Ignorance) -> bool {
        let all = |tests: &[Test]| tests.iter().all(|it| it.holds(subject, ignorance));
        let any = |groups: &[Box<[Test]>]| groups.is_empty() || groups.iter().any(|it| all(it));
        any(&self.from) && any(&self.to) && all(&self.when)
    }
}

impl Test {
    /// Whether it holds for a request.
    pub fn holds_for(&self, subject: &Subject<'_>) -> bool {
        self.holds(subject, Ignorance::Fails)
    }

    fn holds(&self, subject: &Subject<'_>, ignorance: Ignorance) -> bool {
        match subject.asks(&self.attribute) {
            Some(holds) => holds != self.negated,
            // Only HTTP knows it, and this is none.
            None => ignorance == Ignorance::Skips,
        }
    }
}

impl Authorization {
    /// The policies of each action; `asks_for_permission` says whether there is an ALLOW policy, even one without rules.
    pub fn new(deny: Group, allow: Group, audit: Group, asks_for_permission: bool) -> Self {
        Self { deny, allow, audit, asks_for_permission, rehearsed: None }
    }

    /// The same, with policies that are only rehearsed.
    #[must_use]
    pub fn rehearsing(self, rehearsed: Self) -> Self {
        Self { rehearsed: Some(Box::new(rehearsed)), ..self }
    }

    /// Whether nothing is asked of anybody.
    pub fn is_empty(&self) -> bool {
        let Self { deny, allow: _, audit, asks_for_permission, rehearsed } = self;
        deny.rules.is_empty() && audit.rules.is_empty() && !asks_for_permission && rehearsed.is_none()
    }

    /// What the policies say.
    pub fn judge(&self, subject: &Subject<'_>) -> Verdict {
        if let Some(rule) = self.deny.find(subject, Ignorance::Skips) {
            return Verdict::Denied(Some(Arc::clone(&rule.name)));
        }
        if self.asks_for_permission && self.allow.find(subject, Ignorance::Fails).is_none() {
            return Verdict::Denied(None);
        }
        Verdict::Allowed
    }

    /// What policies would say that are only rehearsed, if there are any.
    pub fn rehearse(&self, subject: &Subject<'_>) -> Option<Verdict> {
        self.rehearsed.as_ref().map(|it| it.judge(subject))
    }

    /// The audit rule that matches, if any does.
    pub fn audit(&self, subject: &Subject<'_>) -> Option<&Arc<str>> {
        self.audit.find(subject, Ignorance::Fails).map(|it| &it.name)
    }
}

#[cfg(test)]
mod tests;
