//! Tells what tokens and access policies say of a request, offline, by the functions that serve traffic.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::asked::Asked;
use super::teller::Teller;
use crate::filter::authentication::{self, Identity, tell};
use crate::filter::authorization::Verdict;
use crate::filter::authorization::subject::{Http, Subject};
use crate::filter::authorization::tell::Told;
use crate::filter::credential::Principal;
use crate::filter::external_authorization::Custom;
use crate::snapshot::Snapshot;

/// Where a request comes from when nobody says.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl Teller<'_> {
    /// Who asks, if the request gets that far.
    pub(super) fn token(&mut self, snapshot: &Snapshot, target: &str) -> Option<Option<Arc<Identity>>> {
        let policy = &snapshot.authentication;
        if policy.is_empty() {
            return Some(None);
        }
        let asked = self.asked();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let asked = authentication::Asked { method: &asked.method, target, headers: &asked.headers };
        for tell::Told { rule, said } in policy.tell(asked, now) {
            match rule {
                None => self.step("token", said),
                Some(rule) => {
                    let field = format!("spec.jwtRules[{}]", rule.origin.1);
                    self.step_at("token", said, (&rule.origin.0, &field));
                }
            }
        }
        match policy.judge(asked, now) {
            Ok(outcome) => {
                let told = outcome.identity.as_ref().map_or("none: the request has no identity".to_owned(), |it| {
                    format!("valid, issued by `{}` about `{}`", it.claims.issuer, it.claims.subject)
                });
                self.step("token", told);
                for (name, value) in &outcome.set {
                    self.step("token", format!("sets {name}: {}", value.to_str().unwrap_or_default()));
                }
                Some(outcome.identity)
            }
            Err(fault) => {
                self.step("token", format!("{}: {}", fault.text(), fault.status()));
                None
            }
        }
    }

    /// Which service outside would be asked.
    pub(super) fn custom(&mut self, snapshot: &Snapshot, target: &str) {
        let Some(Custom { rules, provider }) = &snapshot.custom else { return };
        let host = self.asked().authority.to_ascii_lowercase();
        let subject = subject(self.asked(), (target, &host), None, &[]);
        self.told(rules.tell_loosely("CUSTOM", &subject));
        let told = if rules.concerns(&subject) {
            format!(
                "{} at {} is asked; below stands what follows when it allows",
                provider.name,
                provider.cluster.name()
            )
        } else {
            format!("{} is not asked", provider.name)
        };
        self.step("service", told);
    }

    pub(super) fn told(&mut self, told: Vec<Told<'_>>) {
        for Told { action, rule, fails } in told {
            let result = fails.map_or("matches".to_owned(), |it| format!("does not match, {it}"));
            let field = format!("spec.rules[{}]", rule.index);
            self.step_at("policy", format!("{action} {}: {result}", rule.name), (&rule.origin, &field));
        }
    }

    /// Whether the access policies let it pass.
    pub(super) fn policy(&mut self, snapshot: &Snapshot, target: &str, identity: Option<&Identity>) -> bool {
        let policy = &snapshot.authorization;
        if policy.is_empty() {
            return true;
        }
        let host = self.asked().authority.to_ascii_lowercase();
        let known = self.known.clone();
        let subject = subject(self.asked(), (target, &host), identity, &known);
        self.told(policy.tell(&subject));
        match policy.judge(&subject) {
            Verdict::Allowed => {
                self.step("access", "allowed");
                true
            }
            Verdict::Denied(rule) => {
                let why = rule.map_or("no ALLOW rule matches".to_owned(), |it| format!("by {it}"));
                self.step("access", format!("denied, {why}: 403 RBAC: access denied"));
                false
            }
        }
    }
}

/// The request as policies see it.
pub(super) fn subject<'a>(
    asked: &'a Asked,
    (target, host): (&'a str, &'a str),
    identity: Option<&'a Identity>,
    known: &'a [Principal],
) -> Subject<'a> {
    let client = asked.client.unwrap_or(HERE);
    Subject {
        peer: client,
        client,
        destination: HERE,
        port: asked.port,
        server_name: asked.sni.as_deref().filter(|_| asked.is_secure()).unwrap_or_default(),
        principal: asked.principal.as_deref(),
        http: Some(Http {
            method: &asked.method,
            host,
            path: target.split_once('?').map_or(target, |it| it.0),
            headers: &asked.headers,
            claims: identity.map(|it| &it.claims),
            credentials: known,
        }),
    }
}
