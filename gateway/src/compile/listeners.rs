//! Lowers Gateways to listeners: servers of one port become one route table, or one table of TLS servers.
//!
//! The algorithm is Istio's: gateways whose selector fits, oldest first; the first server of
//! a port fixes its protocol, and servers of another are left out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use config_schema::gateway_api::kubernetes_gateway::{self, KubernetesGateway};
use config_schema::istio::gateway::{Gateway, Server};
use config_schema::istio::shared::selects;
use config_schema::{Config, Problem, Resource};

use super::clusters::Clusters;
use super::delegates;
use super::rate_limit::RateLimits;
use super::site::{self, HostDrafts, Site};
use super::tls_listener::TlsDraft;
use super::tls_servers::TlsServers;
use crate::listener::set::{ListenerKey, Wanted};
use crate::routing::tcp::TcpRoute;
use crate::snapshot::{Listener, Service};

/// A port in the making; its first server decides what it speaks.
enum Draft {
    Http(HostDrafts),
    Tcp(Option<Arc<TcpRoute>>),
    Tls(TlsDraft),
}

impl Draft {
    fn of(protocol: &str) -> Self {
        match protocol {
            "HTTPS" | "TLS" => Self::Tls(TlsDraft::default()),
            "TCP" | "MONGO" => Self::Tcp(None),
            _ => Self::Http(HostDrafts::new()),
        }
    }

    /// Whether a server of a protocol can share the port.
    fn admits(&self, protocol: &str) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(&Self::of(protocol))
    }
}

pub(super) fn compile(
    config: &Config,
    limits: &RateLimits,
    clusters: &mut Clusters<'_>,
    servers: &mut TlsServers<'_>,
) -> Result<Vec<Arc<Listener>>, Box<Problem>> {
    let delegates = delegates::collect(&config.documents.virtual_services);
    let mut drafts: BTreeMap<ListenerKey, Draft> = BTreeMap::new();
    for (gateway, server) in ours(config) {
        let Some(key) = key(server, &config.settings.bind_address) else {
            let name = (&gateway.metadata.namespace, &gateway.metadata.name);
            log::warn!("gateway {}/{}: unix domain sockets are not listened on yet", name.0, name.1);
            continue;
        };
        let protocol = server.port.as_ref().map(|it| it.protocol.to_ascii_uppercase()).unwrap_or_default();
        let draft = drafts.entry(key).or_insert_with(|| Draft::of(&protocol));
        if !draft.admits(&protocol) {
            continue;
        }
        let site = Site { config, delegates: &delegates, limits, gateway, server, key };
        match draft {
            Draft::Http(hosts) => site.add_routes(hosts, clusters)?,
            Draft::Tcp(Some(_)) => {}
            Draft::Tcp(route @ None) => *route = site.tcp_route(clusters)?,
            Draft::Tls(draft) => draft.add(&site, &protocol, clusters, servers)?,
        }
    }
    drafts.into_iter().map(|(key, draft)| listener(config, key, draft)).collect()
}

/// The servers of the Gateways that select this gateway.
pub(super) fn ours(config: &Config) -> impl Iterator<Item = (&Resource<Gateway>, &Server)> {
    let labels = &config.settings.node.labels;
    let gateways = config.documents.gateways.iter().filter(|it| selects(&it.spec.selector, labels));
    gateways.flat_map(|gateway| gateway.spec.servers.iter().map(move |it| (gateway, it)))
}

/// The Gateway of the Gateway API that a server was made from, and its listener with its index.
pub(super) fn written<'a>(
    config: &'a Config,
    gateway: &Resource<Gateway>,
    server: &Server,
) -> Option<(&'a Resource<KubernetesGateway>, usize, &'a kubernetes_gateway::Listener)> {
    let written = config.documents.kubernetes_gateways.iter().find(|it| it.origin == gateway.origin)?;
    let (index, listener) = written.spec.listeners.iter().enumerate().find(|(_, it)| it.name == server.name)?;
    Some((written, index, listener))
}

/// Where a server was written: as one, or as a listener of the Gateway API.
pub(super) fn field(config: &Config, gateway: &Resource<Gateway>, server: &Server) -> String {
    if let Some((_, index, _)) = written(config, gateway, server) {
        return format!("spec.listeners[{index}]");
    }
    let index = gateway.spec.servers.iter().position(|it| std::ptr::eq(it, server)).unwrap_or_default();
    format!("spec.servers[{index}]")
}

fn key(server: &Server, bind_address: &str) -> Option<ListenerKey> {
    let bind = if server.bind.is_empty() { bind_address } else { &server.bind };
    let bind: IpAddr = bind.parse().ok()?;
    let port = u16::try_from(server.port.as_ref()?.number).ok()?;
    Some(ListenerKey { bind, port })
}

fn listener(config: &Config, key: ListenerKey, draft: Draft) -> Result<Arc<Listener>, Box<Problem>> {
    let real_port = config.settings.port_map.get(&key.port.to_string()).copied().unwrap_or(key.port);
    let service = match draft {
        Draft::Http(hosts) => Service::Http(site::table(hosts, key.port)?),
        Draft::Tcp(route) => Service::Tcp(route),
        Draft::Tls(draft) => Service::Tls(draft.finish()),
    };
    Ok(Arc::new(Listener { wanted: Wanted { key, real_port }, service }))
}
