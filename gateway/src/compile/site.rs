//! One server of a Gateway, and the VirtualServices that are bound to it.
//!
//! The hosts of a VirtualService are narrowed to those of the server; routes of several
//! VirtualServices on one host follow each other by age, and those that take every request
//! go to the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use config_schema::istio::gateway::{Gateway, Server};
use config_schema::istio::virtual_service::VirtualService;
use config_schema::value::host;
use config_schema::{Config, Problem, Resource};

use super::clusters::Clusters;
use super::delegates::{self, Delegates, Placed};
use super::matches::{Place, broken};
use super::rate_limit::{Attached, RateLimits};
use super::routes::{Lowered, Surroundings};
use super::visibility::{Exported, Viewer};
use super::{http_route, origins, routes, tcp};
use crate::listener::set::ListenerKey;
use crate::routing::host_table::HostTable;
use crate::routing::route::{Route, RouteKind};
use crate::routing::tcp::TcpRoute;
use crate::routing::virtual_host::VirtualHost;

/// One server of a Gateway.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) config: &'a Config,
    pub(super) delegates: &'a Delegates<'a>,
    pub(super) limits: &'a RateLimits,
    pub(super) gateway: &'a Resource<Gateway>,
    pub(super) server: &'a Server,
    pub(super) key: ListenerKey,
}

/// A virtual host in the making.
#[derive(Default)]
pub(super) struct HostDraft {
    https_redirect: bool,
    routes: Vec<Arc<Route>>,
    /// Routes that take every request; they go behind the others.
    last: Vec<Arc<Route>>,
}

/// Virtual hosts in the making.
pub(super) type HostDrafts = BTreeMap<String, HostDraft>;

impl<'a> Site<'a> {
    /// Namespace and name of the Gateway.
    fn name(&self) -> (&'a str, &'a str) {
        (self.gateway.metadata.namespace.as_str(), self.gateway.metadata.name.as_str())
    }

    /// The listener, for routes.
    pub(super) fn place(&self) -> Place<'a> {
        Place { gateway: self.name(), port: self.key.port, node: &self.config.settings.node }
    }

    /// The hosts of the server, in lower case and without namespaces.
    pub(super) fn hosts(&self) -> Vec<String> {
        self.server.hosts.iter().map(|it| host::split_namespace(it, "").1.to_ascii_lowercase()).collect()
    }

    /// The VirtualServices that are bound to the server, with the hosts that both name.
    pub(super) fn services(&self) -> impl Iterator<Item = (&'a Resource<VirtualService>, Vec<String>)> + use<'a> {
        let site = *self;
        let viewer = Viewer::new(&site.config.settings);
        site.config.documents.virtual_services.iter().filter_map(move |service| {
            let namespace = &service.metadata.namespace;
            let bound = |it: &String| host::split_namespace(it, namespace) == site.name();
            let seen = viewer.sees(Exported::VirtualService, &service.spec.export_to, namespace);
            if service.spec.hosts.is_empty() || !seen || !service.spec.gateways.iter().any(bound) {
                return None;
            }
            let hosts = site.narrowed(service);
            (!hosts.is_empty()).then_some((service, hosts))
        })
    }

    /// The hosts that both the VirtualService and the server name, each as the narrower of the two.
    fn narrowed(&self, service: &Resource<VirtualService>) -> Vec<String> {
        let mut out = Vec::new();
        for written in &self.server.hosts {
            let (namespace, name) = match written.split_once('/') {
                None | Some(("*", _)) => (None, written.rsplit('/').next().unwrap_or_default()),
                Some((".", name)) => (Some(self.gateway.metadata.namespace.as_str()), name),
                Some((namespace, name)) => (Some(namespace), name),
            };
            if namespace.is_some_and(|it| it != service.metadata.namespace) {
                continue;
            }
            let name = name.to_ascii_lowercase();
            for own in &service.spec.hosts {
                let own = own.to_ascii_lowercase();
                if let Some(host) = host::intersect(&own, &name)
                    && !out.iter().any(|it| it == host)
                {
                    out.push(host.to_owned());
                }
            }
        }
        out
    }

    /// Adds the routes of the server to virtual hosts.
    pub(super) fn add_routes(&self, drafts: &mut HostDrafts, clusters: &mut Clusters<'_>) -> Result<(), Box<Problem>> {
        let redirects = self.server.tls.as_ref().is_some_and(|it| it.https_redirect);
        if redirects {
            // The redirect holds for the server's hosts even when no route is bound to them.
            for name in self.hosts() {
                drafts.entry(name).or_default().https_redirect = true;
            }
        }
        for (host, routes) in http_route::on_listener(self, clusters)? {
            drafts.entry(host).or_default().routes.extend(routes);
        }
        for (service, hosts) in self.services() {
            let Lowered { routes, last } = self.lower(service, clusters)?;
            for host in hosts {
                let draft = drafts.entry(host).or_default();
                draft.https_redirect |= redirects;
                draft.routes.extend(routes.iter().map(Arc::clone));
                draft.last.extend(last.iter().map(Arc::clone));
            }
        }
        Ok(())
    }

    /// The route of connections: the first that a VirtualService has for this server.
    pub(super) fn tcp_route(&self, clusters: &mut Clusters<'_>) -> Result<Option<Arc<TcpRoute>>, Box<Problem>> {
        for (service, _) in self.services() {
            if let Some(route) = tcp::lower(service, self.place(), clusters)? {
                return Ok(Some(route));
            }
        }
        Ok(None)
    }

    /// The routes of a VirtualService.
    fn lower(
        &self,
        service: &'a Resource<VirtualService>,
        clusters: &mut Clusters<'_>,
    ) -> Result<Lowered, Box<Problem>> {
        let rules = delegates::expand(service, self.delegates);
        let own = origins::of(service, self.config);
        let name = |it: &'a Resource<VirtualService>| (it.metadata.namespace.as_str(), it.metadata.name.as_str());
        let surroundings = |placed: &Placed<'a>| {
            let is_own = std::ptr::eq(placed.document, service);
            let services = [name(service), name(placed.document)];
            let attached = Attached {
                gateway: self.name(),
                kind: RouteKind::VirtualService,
                documents: services.get(usize::from(is_own)..).unwrap_or_default(),
                name: &placed.rule.name,
            };
            Surroundings {
                origin: if is_own { Arc::clone(&own) } else { origins::of(placed.document, self.config) },
                limits: self.limits.of_route(&attached),
            }
        };
        routes::lower(&rules, &surroundings, self.place(), clusters).map_err(|mut problem| {
            problem.resource = service.resource_name();
            problem.origin = Some(service.origin);
            problem
        })
    }
}

/// The table of virtual hosts that are made.
pub(super) fn table(drafts: HostDrafts, port: u16) -> Result<HostTable, Box<Problem>> {
    let mut hosts = Vec::new();
    for (name, HostDraft { https_redirect, mut routes, last }) in drafts {
        routes.extend(last);
        let host = VirtualHost::new(&name, port, routes)
            .indexed(https_redirect)
            .map_err(|error| broken(format!("the routes of host `{name}` are too complex: {error}")))?;
        hosts.push((name, Arc::new(host)));
    }
    Ok(HostTable::new(hosts))
}
