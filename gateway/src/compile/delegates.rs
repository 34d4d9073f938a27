//! Puts the rules of delegates in the place of the rules that name them.
//!
//! Each match of the delegate is joined with every match of the root that does not
//! contradict it; a delegate's rule with a match that contradicts all of them is dropped.
//! Where both sides give a field the delegate's wins, as a whole.

use std::borrow::Cow;
use std::collections::HashMap;

use config_schema::Resource;
use config_schema::istio::route_match::HttpMatch;
use config_schema::istio::virtual_service::{HttpRoute, VirtualService};
use config_schema::value::{Pattern, StringMatch};
use litemap::LiteMap;

/// Delegates by namespace and name.
pub(super) type Delegates<'a> = HashMap<(&'a str, &'a str), &'a Resource<VirtualService>>;

/// Every VirtualService without hosts.
pub(super) fn collect(services: &[Resource<VirtualService>]) -> Delegates<'_> {
    services
        .iter()
        .filter(|it| it.spec.hosts.is_empty())
        .map(|it| ((it.metadata.namespace.as_str(), it.metadata.name.as_str()), it))
        .collect()
}

/// A rule with the document and place it was written at.
pub(super) struct Placed<'a> {
    pub(super) rule: Cow<'a, HttpRoute>,
    pub(super) document: &'a Resource<VirtualService>,
    pub(super) index: usize,
}

/// The rules of a VirtualService with delegates expanded.
pub(super) fn expand<'a>(service: &'a Resource<VirtualService>, delegates: &Delegates<'a>) -> Vec<Placed<'a>> {
    let mut out = Vec::new();
    for (index, rule) in service.spec.http.iter().enumerate() {
        let Some(delegate) = &rule.delegate else {
            out.push(Placed { rule: Cow::Borrowed(rule), document: service, index });
            continue;
        };
        let namespace = if delegate.namespace.is_empty() { &service.metadata.namespace } else { &delegate.namespace };
        let Some(leaf) = delegates.get(&(namespace.as_str(), delegate.name.as_str())) else { continue };
        for (index, leaf_rule) in leaf.spec.http.iter().enumerate() {
            match merge(rule, leaf_rule) {
                Some(rule) => out.push(Placed { rule: Cow::Owned(rule), document: leaf, index }),
                None => log::warn!(
                    "rule #{index} of delegate {}/{} contradicts its root and is left out",
                    leaf.metadata.namespace,
                    leaf.metadata.name
                ),
            }
        }
    }
    out
}

fn merge(root: &HttpRoute, leaf: &HttpRoute) -> Option<HttpRoute> {
    let matches = match (root.matches.as_slice(), leaf.matches.as_slice()) {
        ([], own) => own.to_vec(),
        (own, []) => own.to_vec(),
        (roots, leaves) => {
            let mut joined = Vec::new();
            for leaf in leaves {
                let before = joined.len();
                joined.extend(roots.iter().filter(|it| agree(it, leaf)).map(|root| join(root, leaf)));
                if joined.len() == before {
                    return None;
                }
            }
            joined
        }
    };
    Some(HttpRoute {
        name: joined_name(&root.name, &leaf.name),
        matches,
        route: leaf.route.clone(),
        redirect: leaf.redirect.clone(),
        direct_response: leaf.direct_response.clone(),
        delegate: None,
        rewrite: leaf.rewrite.clone().or_else(|| root.rewrite.clone()),
        timeout: leaf.timeout.or(root.timeout),
        retries: leaf.retries.clone().or_else(|| root.retries.clone()),
        fault: leaf.fault.clone().or_else(|| root.fault.clone()),
        mirror: leaf.mirror.clone().or_else(|| root.mirror.clone()),
        mirrors: if leaf.mirrors.is_empty() { root.mirrors.clone() } else { leaf.mirrors.clone() },
        mirror_percent: leaf.mirror_percent.or(root.mirror_percent),
        mirror_percentage: leaf.mirror_percentage.or(root.mirror_percentage),
        cors_policy: leaf.cors_policy.clone().or_else(|| root.cors_policy.clone()),
        headers: leaf.headers.clone().or_else(|| root.headers.clone()),
    })
}

fn joined_name(root: &str, leaf: &str) -> String {
    [root, leaf].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("-")
}

/// Whether two matches can hold together, as Istio sees it.
fn agree(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let ports = root.port == 0 || leaf.port == 0 || root.port == leaf.port;
    let namespaces = root.source_namespace.is_empty() || root.source_namespace == leaf.source_namespace;
    let labels = leaf.source_labels.iter().all(|(key, value)| root.source_labels.get(key).is_none_or(|it| it == value));
    let gateways = root.gateways.is_empty() || leaf.gateways.iter().all(|it| root.gateways.contains(it));
    let texts = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    ports
        && namespaces
        && labels
        && gateways
        && root.ignore_uri_case == leaf.ignore_uri_case
        && texts.into_iter().all(|(root, leaf)| texts_agree(root.as_deref(), leaf.as_deref()))
        && maps_agree(&root.headers, &leaf.headers, |it| it.as_ref())
        && maps_agree(&root.without_headers, &leaf.without_headers, |it| it.as_ref())
        && maps_agree(&root.query_params, &leaf.query_params, |it| Some(it))
}

fn maps_agree<V>(
    root: &LiteMap<String, V>,
    leaf: &LiteMap<String, V>,
    text: impl Fn(&V) -> Option<&StringMatch>,
) -> bool {
    root.iter().all(|(key, value)| leaf.get(key).is_none_or(|other| texts_agree(text(value), text(other))))
}

fn texts_agree(root: Option<&StringMatch>, leaf: Option<&StringMatch>) -> bool {
    let (Some(root), Some(leaf)) = (root, leaf) else { return true };
    match (root.pattern(), leaf.pattern()) {
        (Pattern::Exact(root), Pattern::Exact(leaf)) => root == leaf,
        (Pattern::Prefix(root), Pattern::Prefix(leaf) | Pattern::Exact(leaf)) => leaf.starts_with(root),
        (Pattern::Exact(_), Pattern::Prefix(_))
        | (Pattern::Regex(_) | Pattern::Present, _)
        | (_, Pattern::Regex(_) | Pattern::Present) => false,
    }
}

/// Both matches in one; the leaf's value is the narrower where both have one.
fn join(root: &HttpMatch, leaf: &HttpMatch) -> HttpMatch {
    fn either(leaf: &str, root: &str) -> String {
        if leaf.is_empty() { root } else { leaf }.to_owned()
    }
    fn union<'a, V: Clone + 'a, M: FromIterator<(String, V)>>(
        root: impl IntoIterator<Item = (&'a String, &'a V)>,
        leaf: impl IntoIterator<Item = (&'a String, &'a V)>,
    ) -> M {
        root.into_iter().chain(leaf).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
    HttpMatch {
        name: joined_name(&root.name, &leaf.name),
        uri: leaf.uri.clone().or_else(|| root.uri.clone()),
        scheme: leaf.scheme.clone().or_else(|| root.scheme.clone()),
        method: leaf.method.clone().or_else(|| root.method.clone()),
        authority: leaf.authority.clone().or_else(|| root.authority.clone()),
        headers: union(&root.headers, &leaf.headers),
        port: if leaf.port == 0 { root.port } else { leaf.port },
        source_labels: union(&root.source_labels, &leaf.source_labels),
        gateways: if leaf.gateways.is_empty() { root.gateways.clone() } else { leaf.gateways.clone() },
        query_params: union(&root.query_params, &leaf.query_params),
        ignore_uri_case: leaf.ignore_uri_case,
        without_headers: union(&root.without_headers, &leaf.without_headers),
        source_namespace: either(&leaf.source_namespace, &root.source_namespace),
        stat_prefix: either(&leaf.stat_prefix, &root.stat_prefix),
    }
}
