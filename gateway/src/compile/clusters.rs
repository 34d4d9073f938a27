//! Makes the cluster of each destination, once, and takes over those that are unchanged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use config_schema::istio::destination_rule::{
    ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, H2UpgradePolicy, Subset, TrafficPolicy,
};
use config_schema::istio::load_balancer::SimpleBalancer;
use config_schema::istio::service_entry::Resolution;
use config_schema::istio::shared::Destination;
use config_schema::istio::shared::selects;
use config_schema::value::host;
use config_schema::{Config, Resource};

use super::registry::{Instance, Port, Registry, Service};
use crate::routing::route::Target;
use crate::snapshot::Snapshot;
use crate::upstream::balancer::Policy;
use crate::upstream::cluster::{self, Cluster, Definition, Discovery, DnsDiscovery, DnsName, Protocol, Tls};

/// Bound on connecting when nobody says (Istio's default).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time between DNS queries when nobody says (Istio's default).
const DNS_REFRESH: Duration = Duration::from_secs(60);
/// Most streams of one HTTP/2 connection when nobody says.
const MAX_STREAMS: u32 = 100;

/// The clusters of a snapshot in the making.
pub(super) struct Clusters<'a> {
    config: &'a Config,
    registry: Registry<'a>,
    before: Option<&'a Snapshot>,
    made: HashMap<Definition, Arc<Cluster>>,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(config: &'a Config, before: Option<&'a Snapshot>) -> Self {
        let registry = Registry::of(&config.documents, &config.settings);
        Self { config, registry, before, made: HashMap::new() }
    }

    pub(super) fn finish(self) -> HashMap<Definition, Arc<Cluster>> {
        self.made
    }

    /// The cluster of a destination in a document of `namespace`, reached by a listener of `listener_port`.
    pub(super) fn target(&mut self, destination: &Destination, namespace: &str, listener_port: u16) -> Target {
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
            return Target::Missing(cluster::name(&name, number, subset).into());
        }
        let definition = self.definition((&name, number), &service, &rules, chosen);
        Target::Cluster(self.take(definition))
    }

    fn take(&mut self, definition: Definition) -> Arc<Cluster> {
        if let Some(known) = self.made.get(&definition) {
            return Arc::clone(known);
        }
        let kept = self.before.and_then(|it| it.clusters.get(&definition)).map(Arc::clone);
        let cluster = kept.unwrap_or_else(|| Arc::new(Cluster::new(definition.clone())));
        self.made.insert(definition, Arc::clone(&cluster));
        cluster
    }

    fn definition(
        &self,
        (name, number): (&str, u16),
        service: &Service,
        rules: &[&Resource<DestinationRule>],
        subset: Option<&Subset>,
    ) -> Definition {
        let port = service.ports.iter().find(|it| it.number == u32::from(number)).cloned().unwrap_or_else(|| Port {
            number: u32::from(number),
            name: String::new(),
            protocol: "HTTP".to_owned(),
            target: u32::from(number),
        });
        let policy = Effective::of(rules, subset);
        let instances: Vec<&Instance> = service
            .instances
            .iter()
            .filter(|it| subset.is_none_or(|subset| selects(&subset.labels, &it.labels)))
            .collect();
        let mesh = &self.config.settings.mesh_config;
        let refresh = mesh.dns_refresh_rate.map_or(DNS_REFRESH, |it| it.0);
        Definition {
            host: name.into(),
            port: number,
            subset: subset.map_or("", |it| it.name.as_str()).into(),
            namespace: service.namespace.as_str().into(),
            discovery: discovery(name, &port, service, &instances, refresh),
            policy: policy.balancer(),
            protocol: policy.protocol(&port, mesh.h2_upgrade_policy),
            tls: policy.tls(),
            connect_timeout: policy
                .connect_timeout()
                .or(mesh.connect_timeout.map(|it| it.0))
                .unwrap_or(CONNECT_TIMEOUT),
            max_streams: policy.max_streams(),
        }
    }
}

/// A host that no document declares is looked up: in the cluster's DNS if its name is short, and as it is.
fn undeclared(host: &str, qualified: String, namespace: &str) -> (String, Service) {
    let instance = |address: String| Instance {
        address,
        ports: std::collections::BTreeMap::new(),
        labels: std::collections::BTreeMap::new(),
        weight: 1,
    };
    let mut instances = vec![instance(qualified.clone())];
    if !host.eq_ignore_ascii_case(&qualified) {
        instances.push(instance(host.to_ascii_lowercase()));
    }
    let service =
        Service { namespace: namespace.to_owned(), ports: Vec::new(), resolution: Some(Resolution::Dns), instances };
    (qualified, service)
}

fn discovery(name: &str, port: &Port, service: &Service, instances: &[&Instance], refresh: Duration) -> Discovery {
    let dns = |one_address| {
        let name_of =
            |it: &Instance, candidates: Vec<Box<str>>| DnsName { candidates, port: it.port(port), weight: it.weight };
        let spellings = || instances.iter().map(|it| Box::from(it.address.as_str())).collect();
        let names = match instances {
            [] if service.instances.is_empty() => vec![DnsName {
                candidates: vec![name.into()],
                port: u16::try_from(port.target).unwrap_or_default(),
                weight: 1,
            }],
            // Of a host that nobody declared, the instances are spellings of one name.
            [first, _, ..] if service.ports.is_empty() => vec![name_of(first, spellings())],
            instances => instances.iter().map(|it| name_of(it, vec![it.address.as_str().into()])).collect(),
        };
        Discovery::Dns(DnsDiscovery { names, one_address, refresh })
    };
    match service.resolution.unwrap_or(Resolution::None) {
        Resolution::None | Resolution::DynamicDns => Discovery::Nowhere,
        Resolution::Static => {
            Discovery::Static(instances.iter().filter_map(|it| Some((it.address(port)?, it.weight))).collect())
        }
        Resolution::Dns => dns(false),
        Resolution::DnsRoundRobin => dns(true),
    }
}

/// The blocks of traffic policy that apply: the subset's, else the rule's.
struct Effective<'a> {
    layers: [Option<&'a TrafficPolicy>; 2],
}

impl<'a> Effective<'a> {
    fn of(rules: &[&'a Resource<DestinationRule>], subset: Option<&'a Subset>) -> Self {
        let base = rules.iter().find_map(|it| it.spec.traffic_policy.as_ref());
        Self { layers: [subset.and_then(|it| it.traffic_policy.as_ref()), base] }
    }

    fn block<T>(&self, pick: impl Fn(&'a TrafficPolicy) -> Option<&'a T>) -> Option<&'a T> {
        self.layers.iter().flatten().find_map(|it| pick(it))
    }

    fn balancer(&self) -> Policy {
        let simple = self.block(|it| it.load_balancer.as_ref()).and_then(|it| it.simple);
        match simple.unwrap_or(SimpleBalancer::Unspecified) {
            SimpleBalancer::RoundRobin => Policy::RoundRobin,
            SimpleBalancer::Random => Policy::Random,
            SimpleBalancer::Unspecified
            | SimpleBalancer::LeastConn
            | SimpleBalancer::LeastRequest
            | SimpleBalancer::Passthrough => Policy::LeastRequest,
        }
    }

    fn pool(&self) -> Option<&'a ConnectionPool> {
        self.block(|it| it.connection_pool.as_ref())
    }

    fn connect_timeout(&self) -> Option<Duration> {
        self.pool()?.tcp.as_ref()?.connect_timeout.map(|it| it.0)
    }

    fn max_streams(&self) -> u32 {
        let streams = self.pool().and_then(|it| it.http.as_ref()).map_or(0, |it| it.max_concurrent_streams);
        u32::try_from(streams).ok().filter(|it| *it > 0).unwrap_or(MAX_STREAMS)
    }

    fn protocol(&self, port: &Port, mesh: Option<H2UpgradePolicy>) -> Protocol {
        let own = self.pool().and_then(|it| it.http.as_ref()).and_then(|it| it.h2_upgrade_policy);
        let upgrade = match own.unwrap_or(H2UpgradePolicy::Default) {
            H2UpgradePolicy::Default => mesh == Some(H2UpgradePolicy::Upgrade),
            H2UpgradePolicy::Upgrade => true,
            H2UpgradePolicy::DoNotUpgrade => false,
        };
        match port.protocol.as_str() {
            "HTTP2" | "GRPC" | "GRPC-WEB" => Protocol::Http2,
            _ if upgrade => Protocol::Http2,
            _ => Protocol::Http1,
        }
    }

    fn tls(&self) -> Tls {
        let Some(tls) = self.block(|it| it.tls.as_ref()) else { return Tls::Off };
        let ClientTls {
            mode,
            sni,
            insecure_skip_verify,
            client_certificate: _,
            private_key: _,
            ca_certificates: _,
            credential_name: _,
            subject_alt_names: _,
            ca_crl: _,
        } = tls;
        match mode.unwrap_or(ClientTlsMode::Disable) {
            ClientTlsMode::Disable => Tls::Off,
            ClientTlsMode::Simple | ClientTlsMode::Mutual | ClientTlsMode::IstioMutual => Tls::On {
                sni: (!sni.is_empty()).then(|| sni.as_str().into()),
                verify: *insecure_skip_verify != Some(true),
            },
        }
    }
}
