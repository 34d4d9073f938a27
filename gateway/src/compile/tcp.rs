//! Lowers the route of a TCP server: the first rule that fits, of the first VirtualService that has one.

use std::sync::Arc;

use config_schema::istio::virtual_service::{RouteDestination, TcpMatch, VirtualService};
use config_schema::value::host;
use config_schema::{Problem, Resource};

use super::clusters::Clusters;
use super::matches::Place;
use crate::routing::route;
use crate::routing::tcp::TcpRoute;

/// The route of a VirtualService on a listener, if it has one for it.
pub(super) fn lower(
    service: &Resource<VirtualService>,
    place: Place<'_>,
    clusters: &mut Clusters<'_>,
) -> Result<Option<Arc<TcpRoute>>, Box<Problem>> {
    let namespace = &service.metadata.namespace;
    let fits = |it: &TcpMatch| {
        let port = it.port == 0 || it.port == u32::from(place.port);
        let gateway = it.gateways.is_empty()
            || it.gateways.iter().any(|name| host::split_namespace(name, namespace) == place.gateway);
        port && gateway
    };
    let rule = service.spec.tcp.iter().find(|it| it.matches.is_empty() || it.matches.iter().any(fits));
    let Some(rule) = rule else { return Ok(None) };
    route(service, &rule.route, place, clusters)
}

/// The route to weighted destinations, if any takes connections.
pub(super) fn route(
    service: &Resource<VirtualService>,
    written: &[RouteDestination],
    place: Place<'_>,
    clusters: &mut Clusters<'_>,
) -> Result<Option<Arc<TcpRoute>>, Box<Problem>> {
    let namespace = &service.metadata.namespace;
    let is_only = written.len() == 1;
    let mut destinations = Vec::new();
    for RouteDestination { destination, weight } in written {
        let weight = if is_only { 1 } else { u32::try_from(*weight).unwrap_or_default() };
        let Some(destination) = destination.as_ref().filter(|_| weight > 0) else { continue };
        destinations.push((weight, clusters.target(destination, namespace, place.port)?));
    }
    let origin = format!("{namespace}/{}", service.metadata.name).into();
    let total_weight = route::total(destinations.iter().map(|it| it.0));
    Ok((!destinations.is_empty())
        .then(|| Arc::new(TcpRoute { destinations: destinations.into(), total_weight, origin })))
}
