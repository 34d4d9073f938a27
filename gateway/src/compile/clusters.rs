//! Makes the cluster of each destination, once, and takes over those that are unchanged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config_schema::istio::destination_rule::{DestinationRule, Subset};
use config_schema::istio::http_action::Retry;
use config_schema::istio::service_entry::Resolution;
use config_schema::istio::shared::Destination;
use config_schema::istio::shared::selects;
use config_schema::value::host;
use config_schema::{Config, Problem, Resource};

use super::locality::Plan;
use super::registry::{Instance, Port, Registry, Service};
use super::traffic_policy::Blocks;
use super::upstream_tls;
use super::{balancing, egress, forwarding, health_check};
use crate::network::Network;
use crate::routing::route::Target;
use crate::snapshot::Snapshot;
use crate::upstream::cluster::Cluster;
use crate::upstream::definition::{self, ByHost, Definition, Discovery, DnsDiscovery, DnsName, Member, Protocol};
use crate::upstream::retry::Policy;
use crate::upstream::tiers::Division;

/// Longest time between DNS queries when nobody says (Istio's default).
const DNS_REFRESH: Duration = Duration::from_secs(60);

/// The clusters of a snapshot in the making.
pub(super) struct Clusters<'a> {
    config: &'a Config,
    registry: Registry<'a>,
    before: Option<&'a Snapshot>,
    /// Clusters that run, by name.
    known: HashMap<&'a str, &'a Arc<Cluster>>,
    default_retries: Arc<Policy>,
    made: HashMap<Definition, Arc<Cluster>>,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(config: &'a Config, before: Option<&'a Snapshot>) -> Self {
        let registry = Registry::of(&config.documents, &config.settings);
        let running = before.into_iter().flat_map(|it| it.clusters.values());
        let known = running.map(|it| (it.name(), it)).collect();
        let mesh = config.settings.mesh_config.default_http_retry_policy.as_ref();
        let default_retries = Arc::new(mesh.map_or_else(Policy::default, forwarding::policy));
        Self { config, registry, before, known, default_retries, made: HashMap::new() }
    }

    pub(super) fn finish(self) -> HashMap<Definition, Arc<Cluster>> {
        self.made
    }

    /// The retries of a rule: its own, else the mesh's, else Istio's default.
    pub(super) fn retries(&self, own: Option<&Retry>) -> Arc<Policy> {
        own.map_or_else(|| Arc::clone(&self.default_retries), |it| Arc::new(forwarding::policy(it)))
    }

    /// The cluster of a destination in a document of `namespace`, reached by a listener of `listener_port`.
    pub(super) fn target(
        &mut self,
        destination: &Destination,
        namespace: &str,
        listener_port: u16,
    ) -> Result<Target, Box<Problem>> {
        self.target_by(destination, (namespace, listener_port), |it| it)
    }

    /// The cluster of a service that is called by gRPC, whatever its port is said to speak.
    pub(super) fn grpc_target(&mut self, destination: &Destination, namespace: &str) -> Result<Target, Box<Problem>> {
        self.target_by(destination, (namespace, 0), |it| Definition { protocol: Protocol::Http2, ..it })
    }

    fn target_by(
        &mut self,
        destination: &Destination,
        (namespace, listener_port): (&str, u16),
        adjust: impl FnOnce(Definition) -> Definition,
    ) -> Result<Target, Box<Problem>> {
        let Destination { host, subset, port } = destination;
        let domain = &self.config.settings.node.cluster_domain;
        let name = host::qualify(host, namespace, domain);
        let service = self.registry.find(&name).or_else(|| self.registry.find(&host.to_ascii_lowercase())).cloned();
        let (name, service) = match service {
            Some(service) => (name, service),
            None => undeclared(host, name, namespace),
        };
        let number = match (port, service.ports.as_slice()) {
            (Some(port), _) => port.number,
            (None, [only]) => only.number,
            (None, _) => u32::from(listener_port),
        };
        let number = u16::try_from(number).unwrap_or_default();
        let rules = self.registry.rules(&name, &service.namespace);
        let chosen = rules.iter().flat_map(|it| &it.spec.subsets).find(|it| it.name == *subset);
        if !subset.is_empty() && chosen.is_none() {
            return Ok(Target::Missing(definition::name(&name, number, subset).into()));
        }
        let definition = self.definition((&name, number), &service, &rules, chosen)?;
        Ok(Target::Cluster(self.take(adjust(definition))))
    }

    /// What a cluster of a host would be, for addresses that are found when a request comes.
    pub(super) fn template(&self, name: &str, number: u16) -> Result<Definition, Box<Problem>> {
        let service = self.registry.find(name).cloned();
        let (name, service) = service.map_or_else(|| undeclared(name, name.to_owned(), ""), |it| (name.to_owned(), it));
        let rules = self.registry.rules(&name, &service.namespace);
        self.definition((&name, number), &service, &rules, None)
    }

    fn take(&mut self, definition: Definition) -> Arc<Cluster> {
        if let Some(known) = self.made.get(&definition) {
            return Arc::clone(known);
        }
        let kept = self.before.and_then(|it| it.clusters.get(&definition)).map(Arc::clone);
        let cluster = kept.unwrap_or_else(|| {
            let name = definition::name(&definition.host, definition.port, &definition.subset);
            let changed = self.known.get(name.as_str()).map(|it| it.as_ref());
            Arc::new(Cluster::new(definition.clone(), changed, Instant::now()))
        });
        self.made.insert(definition, Arc::clone(&cluster));
        cluster
    }

    fn definition(
        &self,
        (name, number): (&str, u16),
        service: &Service,
        rules: &[&Resource<DestinationRule>],
        subset: Option<&Subset>,
    ) -> Result<Definition, Box<Problem>> {
        let port = service.ports.iter().find(|it| it.number == u32::from(number)).cloned().unwrap_or_else(|| Port {
            number: u32::from(number),
            name: String::new(),
            protocol: "HTTP".to_owned(),
            target: u32::from(number),
        });
        let instances: Vec<&Instance> = service
            .instances
            .iter()
            .filter(|it| subset.is_none_or(|subset| selects(&subset.labels, &it.labels)))
            .collect();
        let settings = &self.config.settings;
        let mesh = &settings.mesh_config;
        let blocks = Blocks::of(rules, subset, number, mesh.default_traffic_policy.as_ref());
        let detection = blocks.detection();
        let near = mesh.locality_lb_setting.as_ref();
        let plan = Plan::of(&instances, blocks.load_balancer, near, detection.is_some(), &settings.node);
        let (policy, key) = balancing::policy(blocks.load_balancer)?;
        let refresh = mesh.dns_refresh_rate.map_or(DNS_REFRESH, |it| it.0);
        let networks = [service.networks.clone(), egress::networks(&settings.egress.allowed_addresses)].concat();
        Ok(Definition {
            host: name.into(),
            port: number,
            subset: subset.map_or("", |it| it.name.as_str()).into(),
            namespace: service.namespace.as_str().into(),
            discovery: discovery(name, &port, service, &instances, (&plan, refresh, networks)),
            division: Division {
                policy,
                shares: plan.shares(),
                warmup: balancing::warmup(blocks.load_balancer),
                panic_below: detection.as_ref().map_or(0, |it| it.min_health_percent),
            },
            key,
            protocol: blocks.protocol(&port, mesh.h2_upgrade_policy),
            tls: upstream_tls::lower(blocks.tls, (name, &service.subject_alt_names), self.config)?,
            pool: blocks.pool(mesh),
            limits: blocks.limits(),
            detection,
            check: self.registry.check(name, number).map(|it| health_check::lower(it, name)),
            proxy_header: blocks.proxy_header(),
            tunnel: blocks.tunnel(),
        })
    }
}

/// A host that no document declares is looked up: in the cluster's DNS if its name is short, and as it is.
fn undeclared(host: &str, qualified: String, namespace: &str) -> (String, Service) {
    let instance = |address: String| Instance {
        address,
        ports: std::collections::BTreeMap::new(),
        labels: std::collections::BTreeMap::new(),
        locality: String::new(),
        weight: 1,
    };
    let mut instances = vec![instance(qualified.clone())];
    if !host.eq_ignore_ascii_case(&qualified) {
        instances.push(instance(host.to_ascii_lowercase()));
    }
    let service =
        Service { namespace: namespace.to_owned(), resolution: Some(Resolution::Dns), instances, ..Service::default() };
    (qualified, service)
}

fn discovery(
    name: &str,
    port: &Port,
    service: &Service,
    instances: &[&Instance],
    (plan, refresh, networks): (&Plan<'_>, Duration, Vec<Network>),
) -> Discovery {
    let by_host = |networks: Vec<Network>| {
        let port = u16::try_from(port.target).unwrap_or_default();
        Discovery::ByHost(ByHost { port, networks: networks.into() })
    };
    let guard = service.is_external.then(|| Box::from(networks.as_slice()));
    let dns = |one_address| {
        let name_of = |it: &Instance, candidates: Vec<Box<str>>| Member {
            target: DnsName { candidates, port: it.port(port) },
            weight: it.weight,
            place: plan.place(it),
        };
        let spellings = || instances.iter().map(|it| Box::from(it.address.as_str())).collect();
        let names = match instances {
            [] if service.instances.is_empty() => {
                let target =
                    DnsName { candidates: vec![name.into()], port: u16::try_from(port.target).unwrap_or_default() };
                vec![Member { target, weight: 1, place: crate::upstream::endpoint::Place::default() }]
            }
            // Of a host that nobody declared, the instances are spellings of one name.
            [first, _, ..] if service.ports.is_empty() => vec![name_of(first, spellings())],
            instances => instances.iter().map(|it| name_of(it, vec![it.address.as_str().into()])).collect(),
        };
        Discovery::Dns(DnsDiscovery { names, one_address, refresh, guard: guard.clone() })
    };
    match service.resolution.unwrap_or(Resolution::None) {
        Resolution::None => Discovery::Nowhere,
        Resolution::DynamicDns if name.starts_with('*') => by_host(networks),
        Resolution::DynamicDns => dns(false),
        Resolution::Static => {
            let member =
                |it: &&Instance| Some(Member { target: it.address(port)?, weight: it.weight, place: plan.place(it) });
            Discovery::Static(instances.iter().filter_map(member).collect())
        }
        Resolution::Dns => dns(false),
        Resolution::DnsRoundRobin => dns(true),
    }
}
