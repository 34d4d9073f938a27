//! Lowers RateLimitPolicies: their rules, each at the gateway or at the routes that it attaches to.

mod key_parts;
mod predicates;
mod rules;

use std::collections::HashMap;
use std::sync::Arc;

use config_schema::gateway_api;
use config_schema::istio::shared::TargetRef;
use config_schema::native::rate_limit_policy::{RateLimitPolicy, RateLimitTarget};
use config_schema::{Config, Problem, Resource};

use self::rules::Draft;
use super::policies::{Aim, applies};
use crate::filter::rate_limit::Rule;
use crate::routing::limits::Staged;
use crate::routing::route::RouteKind;

/// What a policy attaches to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Anchor {
    /// Every request.
    Everything,
    /// Routes by which requests come in at a Gateway of Istio.
    Gateway(String, String),
    /// Routes of a VirtualService or HTTPRoute.
    Document(RouteKind, String, String),
    /// A named route of one.
    Route(RouteKind, String, String, String),
}

/// All limits, by what they attach to and by stage (before, behind authentication).
#[derive(Default)]
pub(super) struct RateLimits {
    by_anchor: HashMap<Anchor, [Draft; 2]>,
}

/// The route that limits are looked up for.
pub(super) struct Attached<'a> {
    /// Namespace and name of the Gateway that it is bound to.
    pub(super) gateway: (&'a str, &'a str),
    /// Kind of the documents that it comes from.
    pub(super) kind: RouteKind,
    /// Namespaces and names of them.
    pub(super) documents: &'a [(&'a str, &'a str)],
    /// Its name; empty when it has none.
    pub(super) name: &'a str,
}

impl RateLimits {
    /// The limits of all policies that are for this gateway.
    pub(super) fn lower(config: &Config) -> Result<Self, Box<Problem>> {
        let mut out = Self::default();
        for policy in &config.documents.rate_limit_policies {
            let anchors = anchors(policy, config);
            if anchors.is_empty() {
                continue;
            }
            let (stage, draft) = rules::draft(policy, config)?;
            for anchor in anchors {
                if let Some(it) = out.by_anchor.entry(anchor).or_default().get_mut(stage) {
                    it.extend(&draft);
                }
            }
        }
        Ok(out)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_anchor.is_empty()
    }

    /// Whether a route may have limits of the stage before authentication.
    pub(super) fn looks_ahead(&self) -> bool {
        let early = |drafts: &[Draft; 2]| drafts.first().is_some_and(|it| !it.is_empty());
        self.by_anchor.iter().any(|(anchor, drafts)| *anchor != Anchor::Everything && early(drafts))
    }

    /// Every rule.
    pub(super) fn rules(&self) -> Vec<Arc<Rule>> {
        let drafts = self.by_anchor.values().flatten();
        drafts.flat_map(|it| &it.rules).map(|it| Arc::clone(&it.limit)).collect()
    }

    /// Limits of every request.
    pub(super) fn of_all(&self) -> Staged {
        self.of([Anchor::Everything].iter())
    }

    /// Limits of a route.
    pub(super) fn of_route(&self, route: &Attached<'_>) -> Option<Arc<Staged>> {
        if self.is_empty() {
            return None;
        }
        let owned = |(namespace, name): (&str, &str)| (namespace.to_owned(), name.to_owned());
        let (namespace, name) = owned(route.gateway);
        let mut anchors = vec![Anchor::Gateway(namespace, name)];
        for it in route.documents {
            let (namespace, name) = owned(*it);
            anchors.push(Anchor::Document(route.kind, namespace.clone(), name.clone()));
            if !route.name.is_empty() {
                anchors.push(Anchor::Route(route.kind, namespace, name, route.name.to_owned()));
            }
        }
        anchors.dedup();
        let staged = self.of(anchors.iter());
        (!staged.before.is_empty() || !staged.after.is_empty()).then(|| Arc::new(staged))
    }

    fn of<'a>(&self, anchors: impl Iterator<Item = &'a Anchor>) -> Staged {
        let mut drafts = [Draft::default(), Draft::default()];
        for found in anchors.filter_map(|it| self.by_anchor.get(it)) {
            for (draft, more) in drafts.iter_mut().zip(found) {
                draft.extend(more);
            }
        }
        let [before, after] = drafts.map(Draft::finish);
        Staged { before, after }
    }
}

/// What a policy attaches to here.
fn anchors(policy: &Resource<RateLimitPolicy>, config: &Config) -> Vec<Anchor> {
    let (selector, target_refs) = (&policy.spec.selector, &policy.spec.target_refs);
    let everything = |aim: &Aim<'_>| applies(policy, aim, config).then_some(Anchor::Everything);
    if target_refs.is_empty() {
        let aim = Aim { selector: selector.as_ref(), target_ref: None, target_refs: &[] };
        return everything(&aim).into_iter().collect();
    }
    let namespace = &policy.metadata.namespace;
    let each = |it: &RateLimitTarget| {
        let RateLimitTarget { group, kind, name, section_name } = it;
        let document = |kind| match section_name.as_str() {
            "" => Anchor::Document(kind, namespace.clone(), name.clone()),
            route => Anchor::Route(kind, namespace.clone(), name.clone(), route.to_owned()),
        };
        match (group.as_str(), kind.as_str()) {
            (gateway_api::GROUP, "HTTPRoute") => Some(document(RouteKind::HttpRoute)),
            (gateway_api::GROUP, _) => {
                let reference = TargetRef {
                    group: group.clone(),
                    kind: kind.clone(),
                    name: name.clone(),
                    namespace: String::new(),
                };
                everything(&Aim { selector: None, target_ref: Some(&reference), target_refs: &[] })
            }
            (_, "Gateway") => Some(Anchor::Gateway(namespace.clone(), name.clone())),
            (_, _) => Some(document(RouteKind::VirtualService)),
        }
    };
    target_refs.iter().filter_map(each).collect()
}
