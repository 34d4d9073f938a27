//! Tells for each rule whether it matches, and which part of it does not: for `sluice explain`.

use super::subject::Subject;
use super::{Attribute, Authorization, Group, Ignorance, Rule, Test};

/// What one rule says of a subject.
#[derive(Debug)]
pub struct Told<'a> {
    /// What a match does.
    pub action: &'static str,
    /// The rule.
    pub rule: &'a Rule,
    /// Nothing when it matches, else the part that does not.
    pub fails: Option<String>,
}

impl Group {
    /// Every rule of an action that asks others, which does not see whom a token names.
    pub fn tell_loosely(&self, action: &'static str, subject: &Subject<'_>) -> Vec<Told<'_>> {
        self.tell(action, subject, Ignorance::Skips)
    }

    fn tell(&self, action: &'static str, subject: &Subject<'_>, ignorance: Ignorance) -> Vec<Told<'_>> {
        let told = |rule| Told { action, rule, fails: Rule::fails(rule, subject, ignorance) };
        self.rules.iter().map(told).collect()
    }
}

impl Authorization {
    /// Every rule in the order in which they are asked.
    pub fn tell(&self, subject: &Subject<'_>) -> Vec<Told<'_>> {
        let mut out = self.audit.tell("AUDIT", subject, Ignorance::Fails);
        out.extend(self.deny.tell("DENY", subject, Ignorance::Skips));
        out.extend(self.allow.tell("ALLOW", subject, Ignorance::Fails));
        out
    }
}

impl Rule {
    /// The first part that does not hold.
    fn fails(&self, subject: &Subject<'_>, ignorance: Ignorance) -> Option<String> {
        let first = |tests: &[Test]| tests.iter().find(|it| !it.holds(subject, ignorance)).map(Test::describe);
        let alternatives = |part: &str, groups: &[Box<[Test]>]| {
            let failing: Vec<String> = groups.iter().map(|it| first(it)).collect::<Option<_>>()?;
            (!failing.is_empty()).then(|| format!("{part}: {}", failing.join("; ")))
        };
        alternatives("from", &self.from)
            .or_else(|| alternatives("to", &self.to))
            .or_else(|| first(&self.when).map(|it| format!("when: {it}")))
    }
}

impl Test {
    fn describe(&self) -> String {
        let not = if self.negated { "is one of those that it must not be" } else { "is none of those that it may be" };
        format!("{} {not}", self.attribute.name())
    }
}

impl Attribute {
    /// Istio's name.
    fn name(&self) -> String {
        match self {
            Self::Principal(_) => "source.principal".to_owned(),
            Self::Namespace(_) => "source.namespace".to_owned(),
            Self::ServiceAccount(_) => "source.serviceAccount".to_owned(),
            Self::TrustDomain(_) => "source.trustDomain".to_owned(),
            Self::Peer(_) => "source.ip".to_owned(),
            Self::Client(_) => "remote.ip".to_owned(),
            Self::Destination(_) => "destination.ip".to_owned(),
            Self::Port(_) => "destination.port".to_owned(),
            Self::ServerName(_) => "connection.sni".to_owned(),
            Self::RequestPrincipal(_) => "request.auth.principal".to_owned(),
            Self::Audience(_) => "request.auth.audiences".to_owned(),
            Self::Presenter(_) => "request.auth.presenter".to_owned(),
            Self::Claim(path, _) => format!("request.auth.claims[{}]", path.join("][")),
            Self::Host(_) => "the host".to_owned(),
            Self::Method(_) => "the method".to_owned(),
            Self::Path(_) => "the path".to_owned(),
            Self::Header(name, _) => format!("request.headers[{name}]"),
        }
    }
}
