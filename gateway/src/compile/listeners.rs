//! Lowers Gateways to listeners: servers of one port become one route table.
//!
//! The algorithm is Istio's: gateways whose selector fits, oldest first; the first server of
//! a port fixes its protocol; the hosts of a VirtualService are narrowed to those of the
//! server; routes of several VirtualServices on one host follow each other by age, and those
//! that take every request go to the end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use config_schema::istio::gateway::{Gateway, Server};
use config_schema::istio::shared::selects;
use config_schema::istio::virtual_service::VirtualService;
use config_schema::value::host;
use config_schema::{Config, Problem, Resource};

use super::clusters::Clusters;
use super::delegates::{self, Delegates, Placed};
use super::matches::{Place, broken};
use super::visibility::{Exported, Viewer};
use super::{routes, tcp};
use crate::listener::set::{ListenerKey, Wanted};
use crate::routing::host_table::HostTable;
use crate::routing::route::{Route, ServiceOrigin};
use crate::routing::tcp::TcpRoute;
use crate::routing::virtual_host::VirtualHost;
use crate::snapshot::{Listener, Service};

/// What a port speaks; the first server decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Http,
    Tls,
    Tcp,
}

impl Class {
    fn of(protocol: &str) -> Self {
        match protocol.to_ascii_uppercase().as_str() {
            "HTTPS" | "TLS" => Self::Tls,
            "TCP" | "MONGO" => Self::Tcp,
            _ => Self::Http,
        }
    }
}

/// A port in the making.
struct Draft {
    class: Class,
    hosts: BTreeMap<String, HostDraft>,
    tcp: Option<Arc<TcpRoute>>,
}

/// A virtual host in the making.
#[derive(Default)]
struct HostDraft {
    https_redirect: bool,
    routes: Vec<Arc<Route>>,
    /// Routes that take every request; they go behind the others.
    last: Vec<Arc<Route>>,
}

pub(super) fn compile(config: &Config, clusters: &mut Clusters<'_>) -> Result<Vec<Arc<Listener>>, Box<Problem>> {
    let delegates = delegates::collect(&config.documents.virtual_services);
    let mut drafts: BTreeMap<ListenerKey, Draft> = BTreeMap::new();
    let labels = &config.settings.node.labels;
    let ours = |it: &&Resource<Gateway>| selects(&it.spec.selector, labels);
    for gateway in config.documents.gateways.iter().filter(ours) {
        for server in &gateway.spec.servers {
            let Some(key) = key(server, &config.settings.bind_address) else {
                log::warn!(
                    "gateway {}/{}: unix domain sockets are not listened on yet",
                    gateway.metadata.namespace,
                    gateway.metadata.name
                );
                continue;
            };
            let class = Class::of(server.port.as_ref().map(|it| it.protocol.as_str()).unwrap_or_default());
            let draft = drafts.entry(key).or_insert_with(|| Draft { class, hosts: BTreeMap::new(), tcp: None });
            if draft.class != class || class == Class::Tls {
                continue;
            }
            add_server(config, (gateway, server), key, &delegates, (draft, clusters))?;
        }
    }
    let served = drafts.into_iter().filter(|(_, it)| it.class != Class::Tls);
    served.map(|(key, draft)| listener(config, key, draft)).collect()
}

fn key(server: &Server, bind_address: &str) -> Option<ListenerKey> {
    let bind = if server.bind.is_empty() { bind_address } else { &server.bind };
    let bind: IpAddr = bind.parse().ok()?;
    let port = u16::try_from(server.port.as_ref()?.number).ok()?;
    Some(ListenerKey { bind, port })
}

fn add_server(
    config: &Config,
    (gateway, server): (&Resource<Gateway>, &Server),
    key: ListenerKey,
    delegates: &Delegates<'_>,
    (draft, clusters): (&mut Draft, &mut Clusters<'_>),
) -> Result<(), Box<Problem>> {
    let redirects = server.tls.as_ref().is_some_and(|it| it.https_redirect);
    if redirects {
        // The redirect holds for the server's hosts even when no route is bound to them.
        for name in &server.hosts {
            let (_, name) = host::split_namespace(name, "");
            draft.hosts.entry(name.to_ascii_lowercase()).or_default().https_redirect = true;
        }
    }
    let name = (gateway.metadata.namespace.as_str(), gateway.metadata.name.as_str());
    let viewer = Viewer::new(&config.settings);
    for service in &config.documents.virtual_services {
        let bound = |it: &String| host::split_namespace(it, &service.metadata.namespace) == name;
        let seen = viewer.sees(Exported::VirtualService, &service.spec.export_to, &service.metadata.namespace);
        if service.spec.hosts.is_empty() || !seen || !service.spec.gateways.iter().any(bound) {
            continue;
        }
        let hosts = narrowed(service, gateway, server);
        if hosts.is_empty() {
            continue;
        }
        let place = Place { gateway: name, port: key.port, node: &config.settings.node };
        if draft.class == Class::Tcp {
            if draft.tcp.is_none() {
                draft.tcp = tcp::lower(service, place, clusters)?;
            }
            continue;
        }
        let (routes, last) = lower(config, service, delegates, place, clusters)?;
        for host in hosts {
            let draft = draft.hosts.entry(host).or_default();
            draft.https_redirect |= redirects;
            draft.routes.extend(routes.iter().map(Arc::clone));
            draft.last.extend(last.iter().map(Arc::clone));
        }
    }
    Ok(())
}

type Routes = Vec<Arc<Route>>;

/// The routes of a VirtualService, and apart those that take every request.
fn lower(
    config: &Config,
    service: &Resource<VirtualService>,
    delegates: &Delegates<'_>,
    place: Place<'_>,
    clusters: &mut Clusters<'_>,
) -> Result<(Routes, Routes), Box<Problem>> {
    let rules = delegates::expand(service, delegates);
    let own = origin(config, service);
    let origin_of = |placed: &Placed<'_>| {
        if std::ptr::eq(placed.document, service) { Arc::clone(&own) } else { origin(config, placed.document) }
    };
    let routes = routes::lower(&rules, &origin_of, place, clusters).map_err(|mut problem| {
        problem.resource = service.resource_name();
        problem.origin = Some(service.origin);
        problem
    })?;
    let (last, first): (Vec<_>, Vec<_>) = routes.into_iter().partition(|(_, catch_all)| *catch_all);
    let share = |routes: Vec<(Route, bool)>| routes.into_iter().map(|(route, _)| Arc::new(route)).collect();
    Ok((share(first), share(last)))
}

fn origin(config: &Config, service: &Resource<VirtualService>) -> Arc<ServiceOrigin> {
    let file = config.documents.sources.iter().find(|it| it.id == service.origin.source);
    Arc::new(ServiceOrigin {
        name: format!("{}/{}", service.metadata.namespace, service.metadata.name).into(),
        file: file.map_or("", |it| it.name.as_str()).into(),
        document: service.origin.document,
        item: service.origin.item,
    })
}

/// The hosts that both the VirtualService and the server name, each as the narrower of the two.
fn narrowed(service: &Resource<VirtualService>, gateway: &Resource<Gateway>, server: &Server) -> Vec<String> {
    let mut out = Vec::new();
    for written in &server.hosts {
        let (namespace, name) = match written.split_once('/') {
            None | Some(("*", _)) => (None, written.rsplit('/').next().unwrap_or_default()),
            Some((".", name)) => (Some(gateway.metadata.namespace.as_str()), name),
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

fn listener(config: &Config, key: ListenerKey, draft: Draft) -> Result<Arc<Listener>, Box<Problem>> {
    let real_port = config.settings.port_map.get(&key.port.to_string()).copied().unwrap_or(key.port);
    let wanted = Wanted { key, real_port };
    if draft.class == Class::Tcp {
        return Ok(Arc::new(Listener { wanted, service: Service::Tcp(draft.tcp) }));
    }
    let mut hosts = Vec::new();
    for (name, HostDraft { https_redirect, mut routes, last }) in draft.hosts {
        routes.extend(last);
        let host = VirtualHost::new(&name, key.port, routes)
            .indexed(https_redirect)
            .map_err(|error| broken(format!("the routes of host `{name}` are too complex: {error}")))?;
        hosts.push((name, Arc::new(host)));
    }
    Ok(Arc::new(Listener { wanted, service: Service::Http(HostTable::new(hosts)) }))
}
