//! Lowers AuthorizationPolicies: the rules of all that apply, by what they do.

use std::sync::Arc;

use config_schema::istio::authorization_policy::{
    Action, AuthorizationPolicy, Condition, Operation, Rule as WrittenRule, Source,
};
use config_schema::problem::code;
use config_schema::value::Cidr;
use config_schema::{Config, Problem, Resource, Severity};
use http::HeaderName;

use super::clusters::Clusters;
use super::external_authorization::Asks;
use super::origins;
use super::policies::{Aim, applies};
use crate::filter::authentication::claims::ClaimPath;
use crate::filter::authorization::values::{Accounts, Principals, Texts};
use crate::filter::authorization::{Attribute, Authorization, Group, Rule, Test};
use crate::filter::external_authorization::Custom;
use crate::network::Network;
use crate::network::set::Networks;
use crate::origin::DocumentOrigin;

/// Annotation that turns a policy into a rehearsal.
const DRY_RUN: &str = "istio.io/dry-run";

/// Rules by what they do.
#[derive(Default)]
struct Draft {
    deny: Vec<Rule>,
    allow: Vec<Rule>,
    audit: Vec<Rule>,
    asks_for_permission: bool,
}

impl Draft {
    fn finish(self) -> Authorization {
        let Self { deny, allow, audit, asks_for_permission } = self;
        Authorization::new(Group::new(deny), Group::new(allow), Group::new(audit), asks_for_permission)
    }
}

/// What is decided here, and whom else is asked.
type Lowered = (Authorization, Option<Custom>);

pub(super) fn lower(config: &Config, clusters: &mut Clusters<'_>) -> Result<Lowered, Box<Problem>> {
    let (mut real, mut rehearsed) = (Draft::default(), Draft::default());
    let mut asks = Asks::default();
    let mut rehearses = false;
    for policy in &config.documents.authorization_policies {
        let AuthorizationPolicy { selector, target_ref, target_refs, rules, action, provider } = policy.spec.as_ref();
        let aim = Aim { selector: selector.as_ref(), target_ref: target_ref.as_ref(), target_refs };
        if !applies(policy, &aim, config) {
            continue;
        }
        let is_dry =
            policy.metadata.annotations.get(DRY_RUN).is_some_and(|it| it.to_ascii_lowercase().starts_with(['t', '1']));
        rehearses |= is_dry;
        let draft = if is_dry { &mut rehearsed } else { &mut real };
        let group = match action.unwrap_or(Action::Allow) {
            Action::Allow => {
                draft.asks_for_permission = true;
                &mut draft.allow
            }
            Action::Deny => &mut draft.deny,
            Action::Audit => &mut draft.audit,
            Action::Custom => asks.of(policy, provider.as_ref().map_or("", |it| &it.name))?,
        };
        let origin = origins::of(policy, config);
        for (index, written) in rules.iter().flatten().enumerate() {
            group.push(rule(policy, (index, &origin), written)?);
        }
    }
    let real = real.finish();
    let real = if rehearses { real.rehearsing(rehearsed.finish()) } else { real };
    Ok((real, asks.finish(config, clusters)?))
}

/// A policy that would have to refuse requests and cannot: serving without it would let in whom it keeps out.
fn unenforced(policy: &Resource<AuthorizationPolicy>, field: &str, what: &str) -> Box<Problem> {
    let message = format!("{what} is not enforced yet, and the policy applies to this gateway");
    let problem = policy.problem(code::NOT_HONOURED, Severity::Error, field, message);
    Box::new(problem.help("serving without it would let in whom it keeps out; take it out to serve without it"))
}

fn rule(
    policy: &Resource<AuthorizationPolicy>,
    (index, origin): (usize, &Arc<DocumentOrigin>),
    written: &WrittenRule,
) -> Result<Rule, Box<Problem>> {
    let WrittenRule { from, to, when } = written;
    let namespace = &policy.metadata.namespace;
    let mut conditions = Vec::new();
    for (at, it) in when.iter().flatten().enumerate() {
        let found = condition(it, namespace);
        let field = format!("spec.rules[{index}].when[{at}].key");
        conditions.extend(found.ok_or_else(|| unenforced(policy, &field, &format!("`{}`", it.key)))?);
    }
    Ok(Rule {
        name: format!("ns[{namespace}]-policy[{}]-rule[{index}]", policy.metadata.name).into(),
        origin: Arc::clone(origin),
        index,
        from: from.iter().flatten().filter_map(|it| Some(source(it.source.as_ref()?, namespace).into())).collect(),
        to: to.iter().flatten().filter_map(|it| Some(operation(it.operation.as_ref()?).into())).collect(),
        when: conditions.into(),
    })
}

/// A test that one of the values holds, and one that none of the others does.
fn pair(values: &[String], not: &[String], attribute: impl Fn(&[String]) -> Attribute) -> Vec<Test> {
    let tests = [(values, false), (not, true)].into_iter().filter(|(values, _)| !values.is_empty());
    tests.map(|(values, negated)| Test { attribute: attribute(values), negated }).collect()
}

fn texts(values: &[String]) -> Texts {
    Texts::new(values.iter().map(String::as_str))
}

/// Networks as they are written, for whoever asks where somebody comes from.
pub(super) fn networks(values: &[String]) -> Networks {
    let parsed = values.iter().filter_map(|it| it.parse::<Cidr>().ok());
    parsed.map(|it| Network::canonical(it.address(), it.prefix())).collect()
}

fn ports(values: &[String]) -> Attribute {
    Attribute::Port(values.iter().filter_map(|it| it.parse().ok()).collect())
}

fn principals(values: &[String]) -> Principals {
    Principals::new(values.iter().map(String::as_str))
}

fn accounts(values: &[String], namespace: &str) -> Accounts {
    let account = |it: &String| match it.split_once('/') {
        Some((namespace, account)) => (namespace.into(), account.into()),
        None => (namespace.into(), it.as_str().into()),
    };
    Accounts(values.iter().map(account).collect())
}

fn source(written: &Source, namespace: &str) -> Vec<Test> {
    let Source {
        principals: own,
        not_principals,
        request_principals,
        not_request_principals,
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        ip_blocks,
        not_ip_blocks,
        remote_ip_blocks,
        not_remote_ip_blocks,
        trust_domains,
        not_trust_domains,
    } = written;
    let mut out = pair(own, not_principals, |it| Attribute::Principal(texts(it)));
    out.extend(pair(request_principals, not_request_principals, |it| Attribute::RequestPrincipal(principals(it))));
    out.extend(pair(namespaces, not_namespaces, |it| Attribute::Namespace(texts(it))));
    out.extend(pair(service_accounts, not_service_accounts, |it| Attribute::ServiceAccount(accounts(it, namespace))));
    out.extend(pair(ip_blocks, not_ip_blocks, |it| Attribute::Peer(networks(it))));
    out.extend(pair(remote_ip_blocks, not_remote_ip_blocks, |it| Attribute::Client(networks(it))));
    out.extend(pair(trust_domains, not_trust_domains, |it| Attribute::TrustDomain(texts(it))));
    out
}

fn operation(written: &Operation) -> Vec<Test> {
    let Operation { hosts, not_hosts, ports: own, not_ports, methods, not_methods, paths, not_paths } = written;
    let host = |it: &[String]| Attribute::Host(texts(&it.iter().map(|it| it.to_ascii_lowercase()).collect::<Vec<_>>()));
    let mut out = pair(hosts, not_hosts, host);
    out.extend(pair(own, not_ports, ports));
    out.extend(pair(methods, not_methods, |it| Attribute::Method(texts(it))));
    out.extend(pair(paths, not_paths, |it| Attribute::Path(Texts::of_paths(it.iter().map(String::as_str)))));
    out
}

/// The tests of a condition; `None` when its attribute is unknown here.
fn condition(written: &Condition, namespace: &str) -> Option<Vec<Test>> {
    let Condition { key, values, not_values } = written;
    let bracketed = |prefix: &str| key.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']');
    let both = |attribute: &dyn Fn(&[String]) -> Attribute| Some(pair(values, not_values, attribute));
    if let Some(name) = bracketed("request.headers") {
        let name = HeaderName::try_from(name).ok()?;
        return both(&|it| Attribute::Header(name.clone(), texts(it)));
    }
    if let Some(path) = bracketed("request.auth.claims") {
        let path: ClaimPath = path.split("][").map(Box::from).collect();
        return both(&|it| Attribute::Claim(path.clone(), texts(it)));
    }
    match key.as_str() {
        "source.ip" => both(&|it| Attribute::Peer(networks(it))),
        "remote.ip" => both(&|it| Attribute::Client(networks(it))),
        "source.namespace" => both(&|it| Attribute::Namespace(texts(it))),
        "source.principal" => both(&|it| Attribute::Principal(texts(it))),
        "source.serviceAccount" => both(&|it| Attribute::ServiceAccount(accounts(it, namespace))),
        "source.trustDomain" => both(&|it| Attribute::TrustDomain(texts(it))),
        "request.auth.principal" => both(&|it| Attribute::RequestPrincipal(principals(it))),
        "request.auth.audiences" => both(&|it| Attribute::Audience(texts(it))),
        "request.auth.presenter" => both(&|it| Attribute::Presenter(texts(it))),
        "destination.ip" => both(&|it| Attribute::Destination(networks(it))),
        "destination.port" => both(&ports),
        "connection.sni" => both(&|it| Attribute::ServerName(texts(it))),
        _ => None,
    }
}
