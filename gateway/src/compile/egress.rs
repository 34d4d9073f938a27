//! Lowers Sidecar listeners of protocol HTTP_PROXY and HTTPS_PROXY to forward proxies: what they may reach is what ServiceEntries say.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config_schema::istio::service_entry::{Resolution, ServiceEntry, ServicePort};
use config_schema::istio::shared::selects;
use config_schema::istio::sidecar::{EgressListener, OutboundMode, ProxyProtocol, Sidecar};
use config_schema::native::egress_policy::{EgressMode, EgressPolicy, TunnelBounds};
use config_schema::native::egress_settings::{EgressSettings, TlsInTunnel};
use config_schema::problem::code;
use config_schema::value::Cidr;
use config_schema::{Config, Problem, Resource, Severity};

use super::clusters::Clusters;
use super::policies::{Aim, applies};
use super::tls_servers::TlsServers;
use super::visibility::{Exported, Viewer};
use super::{interception, origins};
use crate::listener::set::{ListenerKey, Wanted};
use crate::listener::tls::server::TlsServer;
use crate::network::Network;
use crate::routing::way_out::{AllowedHost, AllowedPort, Carries, InTunnel, Others, TunnelTerms, WaysOut};
use crate::snapshot::{Listener, Proxy, Service, Snapshot};
use crate::upstream::definition;

/// Longest silence in a tunnel, when the settings do not say.
const IDLE: Duration = Duration::from_secs(600);
/// How long a tunnel lasts whose destination is not allowed any more, when the settings do not say.
const GRACE: Duration = Duration::from_secs(30);
/// Bound on connecting, when the settings do not say.
const CONNECT: Duration = Duration::from_secs(5);

/// The forward proxies of the Sidecars that are for this gateway.
pub(super) fn listeners(
    (config, before): (&Config, Option<&Snapshot>),
    clusters: &mut Clusters<'_>,
    servers: &mut TlsServers<'_>,
) -> Result<Vec<Arc<Listener>>, Box<Problem>> {
    let mut out: Vec<Arc<Listener>> = Vec::new();
    for sidecar in config.documents.sidecars.iter().filter(|it| is_ours(it, config)) {
        for (index, written) in sidecar.spec.egress.iter().enumerate() {
            let Some(key) = key(written, config) else { continue };
            if out.iter().any(|it| it.wanted.key == key) {
                continue;
            }
            let real_port = config.settings.port_map.get(&key.port.to_string()).copied().unwrap_or(key.port);
            let server = tls(config, (sidecar, index), written, servers)?;
            let ways = Arc::new(ways(config, sidecar, written, clusters)?);
            let interceptions = interception::lower(config, &policies(config, written), before);
            let service = Service::Proxy(Proxy { ways, server, interceptions });
            out.push(Arc::new(Listener { wanted: Wanted { key, real_port }, service }));
        }
    }
    Ok(out)
}

fn is_ours(sidecar: &Resource<Sidecar>, config: &Config) -> bool {
    let labels = &config.settings.node.labels;
    let selected = sidecar.spec.workload_selector.as_ref().is_none_or(|it| selects(&it.labels, labels));
    selected && config.settings.takes_policies_of(&sidecar.metadata.namespace)
}

fn key(listener: &EgressListener, config: &Config) -> Option<ListenerKey> {
    let port = listener.port.as_ref().filter(|_| listener.proxy().is_some())?;
    let bind = if listener.bind.is_empty() { &config.settings.bind_address } else { &listener.bind };
    Some(ListenerKey { bind: bind.parse().ok()?, port: u16::try_from(port.number).ok()? })
}

/// Who ends the clients' TLS, if they speak it.
fn tls(
    config: &Config,
    (sidecar, index): (&Resource<Sidecar>, usize),
    listener: &EgressListener,
    servers: &mut TlsServers<'_>,
) -> Result<Option<Arc<TlsServer>>, Box<Problem>> {
    match listener.proxy() {
        Some(ProxyProtocol::Secure) => {}
        Some(ProxyProtocol::Plain) | None => return Ok(None),
    }
    let written = policies(config, listener).into_iter().find_map(|it| it.spec.tls.as_ref());
    let missing = || {
        let message = "a listener of protocol HTTPS_PROXY has no certificate";
        let field = format!("spec.egress[{index}].port.protocol");
        let problem = sidecar.problem(code::SCHEMA, Severity::Error, field, message);
        Box::new(problem.help("name one in `tls` of an EgressPolicy for its port"))
    };
    Ok(Some(servers.take(written.ok_or_else(missing)?)))
}

/// Hosts with their entries, oldest entry first.
type Entries<'a> = BTreeMap<String, Vec<&'a Resource<ServiceEntry>>>;

fn ways(
    config: &Config,
    sidecar: &Resource<Sidecar>,
    listener: &EgressListener,
    clusters: &mut Clusters<'_>,
) -> Result<WaysOut, Box<Problem>> {
    let viewer = Viewer::new(&config.settings);
    let mut entries: Entries<'_> = BTreeMap::new();
    for entry in &config.documents.service_entries {
        let namespace = &entry.metadata.namespace;
        if !viewer.sees(Exported::ServiceEntry, &entry.spec.export_to, namespace) {
            continue;
        }
        for host in entry.spec.hosts.iter().filter(|it| offers(listener, sidecar, namespace, it)) {
            entries.entry(host.to_ascii_lowercase()).or_default().push(entry);
        }
    }
    let mut hosts = Vec::new();
    for (name, entries) in &entries {
        hosts.push(host(config, name, entries, clusters)?);
    }
    let policy = sidecar.spec.outbound_traffic_policy.as_ref().and_then(|it| it.mode);
    let own = policies(config, listener);
    let audits = own.iter().any(|it| it.spec.mode == Some(EgressMode::Audit));
    let others = match policy.unwrap_or(OutboundMode::RegistryOnly) {
        OutboundMode::RegistryOnly if audits => Others::Noted,
        OutboundMode::RegistryOnly => Others::Refused,
        OutboundMode::AllowAny | OutboundMode::AllowAnyDynamicDns => Others::Allowed,
    };
    let settings = &config.settings.egress;
    let template = Arc::new(clusters.template("passthrough.invalid", 80)?);
    let tunnels = tunnels(settings, &own);
    Ok(WaysOut::new(
        hosts,
        (others, template),
        networks(&settings.allowed_addresses).into(),
        tunnels,
        settings.keep_via,
    ))
}

/// The policies of this gateway, oldest first as all documents are.
pub(super) fn ours(config: &Config) -> impl Iterator<Item = &Resource<EgressPolicy>> {
    config.documents.egress_policies.iter().filter(|it| {
        let aim = Aim { selector: it.spec.selector.as_ref(), target_ref: None, target_refs: &[] };
        applies(it, &aim, config)
    })
}

/// Those of a listener.
fn policies<'a>(config: &'a Config, listener: &EgressListener) -> Vec<&'a Resource<EgressPolicy>> {
    let port = listener.port.as_ref().map_or(0, |it| it.number);
    ours(config).filter(|it| it.spec.ports.is_empty() || it.spec.ports.contains(&port)).collect()
}

/// Whether a listener offers a host of a namespace (`namespace/host`, with wildcards).
fn offers(listener: &EgressListener, sidecar: &Resource<Sidecar>, namespace: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    listener.hosts.iter().filter_map(|it| it.split_once('/')).any(|(wanted, pattern)| {
        let of_namespace = match wanted {
            "*" => true,
            "." => namespace == sidecar.metadata.namespace,
            "~" => false,
            name => namespace == name,
        };
        let pattern = pattern.to_ascii_lowercase();
        let of_host = pattern == "*"
            || pattern == host
            || pattern.strip_prefix('*').is_some_and(|it| host.strip_prefix('*').unwrap_or(&host).ends_with(it));
        of_namespace && of_host
    })
}

fn host(
    config: &Config,
    name: &str,
    entries: &[&Resource<ServiceEntry>],
    clusters: &mut Clusters<'_>,
) -> Result<(AllowedHost, Vec<Network>), Box<Problem>> {
    let mut ports: Vec<AllowedPort> = Vec::new();
    let mut named = Vec::new();
    for entry in entries {
        named.extend(networks(&entry.spec.addresses));
        for port in &entry.spec.ports {
            let number = u16::try_from(port.number).unwrap_or_default();
            if ports.iter().any(|it| it.number == number) {
                continue;
            }
            ports.push(AllowedPort {
                number,
                cluster: definition::name(name, number, "").into(),
                carries: carries(&port.protocol),
                dials: u16::try_from(port.target_port).ok().filter(|it| *it != 0).unwrap_or(number),
                endpoints: endpoints(&entry.spec, port),
                template: Arc::new(clusters.template(name, number)?),
            });
        }
    }
    let first = entries.first();
    let host = AllowedHost {
        name: name.into(),
        namespace: first.map_or("", |it| it.metadata.namespace.as_str()).into(),
        origin: first.map_or_else(Arc::default, |it| origins::of(it, config)),
        ports: ports.into(),
        networks: named.clone().into(),
    };
    Ok((host, named))
}

fn carries(protocol: &str) -> Carries {
    match protocol.to_ascii_uppercase().as_str() {
        "TLS" | "HTTPS" => Carries::Tls,
        "TCP" | "MONGO" => Carries::Anything,
        _ => Carries::Http,
    }
}

/// The addresses that an entry names itself.
fn endpoints(entry: &ServiceEntry, port: &ServicePort) -> Option<Box<[SocketAddr]>> {
    if entry.resolution != Some(Resolution::Static) {
        return None;
    }
    let usual = if port.target_port == 0 { port.number } else { port.target_port };
    let each = entry.endpoints.iter().filter_map(|it| {
        let address: IpAddr = it.address.parse().ok()?;
        let number = it.ports.get(&port.name).copied().unwrap_or(usual);
        Some(SocketAddr::new(address, u16::try_from(number).ok()?))
    });
    Some(each.collect())
}

pub(super) fn networks(written: &[String]) -> Vec<Network> {
    let parsed = written.iter().filter_map(|it| it.parse::<Cidr>().ok());
    parsed.map(|it| Network::new(it.address(), it.prefix())).collect()
}

/// How tunnels behave: of several bounds the narrowest holds.
fn tunnels(settings: &EgressSettings, policies: &[&Resource<EgressPolicy>]) -> TunnelTerms {
    let EgressSettings {
        allowed_addresses: _,
        keep_via: _,
        tls_in_tunnel,
        idle_timeout,
        max_duration,
        connect_timeout,
        revocation_grace,
    } = settings;
    let narrowest =
        |of: fn(&TunnelBounds) -> Option<Duration>| policies.iter().filter_map(|it| of(&it.spec.tunnels)).min();
    let at_most = |of: fn(&TunnelBounds) -> u32| {
        policies.iter().map(|it| of(&it.spec.tunnels)).filter(|it| *it > 0).min().unwrap_or(0)
    };
    let strictest = policies.iter().filter_map(|it| it.spec.tunnels.tls_in_tunnel).max();
    TunnelTerms {
        says: match strictest.or(*tls_in_tunnel).unwrap_or(TlsInTunnel::Verify) {
            TlsInTunnel::Verify => InTunnel::Verify,
            TlsInTunnel::Require => InTunnel::Require,
            TlsInTunnel::Off => InTunnel::Off,
        },
        idle: narrowest(|it| it.idle_timeout.map(|it| it.0)).or(idle_timeout.map(|it| it.0)).unwrap_or(IDLE),
        age: narrowest(|it| it.max_duration.map(|it| it.0)).or(max_duration.map(|it| it.0)),
        connect: connect_timeout.map_or(CONNECT, |it| it.0),
        grace: revocation_grace.map_or(GRACE, |it| it.0),
        bytes: policies.iter().map(|it| it.spec.tunnels.max_bytes).filter(|it| *it > 0).min(),
        at_once: (at_most(|it| it.per_client), at_most(|it| it.per_host)),
    }
}
