//! Lowers HTTPRoutes: which are on a listener, for which hosts, and in which order they are tried.
//!
//! A host has the rules of its own routes and behind them those of the wildcards over it. Of
//! one host the order is the Gateway API's, whatever document a rule stands in: exact paths,
//! longest prefix, expressions; then whether a method is asked for, how many headers, how
//! many query parameters; then the oldest route, and the order in it.

mod filters;
mod rules;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config_schema::Problem;
use config_schema::gateway_api::attachment;
use config_schema::value::host;

use super::clusters::Clusters;
use super::listeners;
use super::site::Site;
use crate::routing::route::Route;

/// When a rule is tried; less is earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    path: Reverse<PathRank>,
    has_method: Reverse<bool>,
    headers: Reverse<usize>,
    query_params: Reverse<usize>,
    /// Time, namespace and name of the document.
    age: (String, String, String),
    /// Index of the rule and of its match.
    place: (usize, usize),
}

/// How closely a path is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Expression,
    /// With its length.
    Prefix(usize),
    Exact,
}

/// A host with its routes.
pub(super) type HostRoutes = (String, Vec<Arc<Route>>);

/// A rule's route with its order.
type Ordered = (Order, Arc<Route>);

/// The hosts of a listener of the Gateway API with their routes in order; none for a server of Istio's Gateway.
pub(super) fn on_listener(site: &Site<'_>, clusters: &mut Clusters<'_>) -> Result<Vec<HostRoutes>, Box<Problem>> {
    let Some((gateway, _, listener)) = listeners::written(site.config, site.gateway, site.server) else {
        return Ok(Vec::new());
    };
    let documents = &site.config.documents;
    let mut by_host: BTreeMap<String, Vec<Ordered>> = BTreeMap::new();
    for route in &documents.http_routes {
        let hosts = attachment::hosts(route, &route.spec.parent_refs, (gateway, listener), documents);
        if hosts.is_empty() {
            continue;
        }
        let routes = rules::lower(route, site, clusters).map_err(|mut problem| {
            problem.resource = route.resource_name();
            problem.origin = Some(route.origin);
            problem
        })?;
        for name in hosts {
            by_host.entry(name).or_default().extend(routes.iter().cloned());
        }
    }
    by_host.values_mut().for_each(|it| it.sort_by(|a, b| a.0.cmp(&b.0)));
    // The listener's own host stands there without routes too, so that no wider listener gets its requests.
    let names: BTreeSet<String> = by_host.keys().cloned().chain([attachment::host_of(listener)]).collect();
    let routes = |name: &str| {
        let found = over(name).into_iter().filter_map(|it| by_host.get(&it)).flatten();
        found.map(|(_, route)| Arc::clone(route)).collect()
    };
    Ok(names.into_iter().map(|name| (name.clone(), routes(&name))).collect())
}

/// A host and the wildcards over it, the closest first.
fn over(name: &str) -> Vec<String> {
    let mut all: Vec<String> = host::widening(name).chain(["*".to_owned()]).collect();
    all.dedup();
    all
}
