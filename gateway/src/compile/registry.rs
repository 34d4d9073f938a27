//! The services that documents declare: hosts, ports, endpoints and traffic policies.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use config_schema::istio::destination_rule::DestinationRule;
use config_schema::istio::service_entry::{Location, Resolution, ServiceEntry, ServicePort};
use config_schema::istio::shared::selects;
use config_schema::istio::workload_entry::WorkloadEntry;
use config_schema::kubernetes::endpoint_slice::{EndpointSlice, SERVICE_NAME_LABEL};
use config_schema::kubernetes::service::ServicePort as KubernetesPort;
use config_schema::native::health_check::HealthCheck;
use config_schema::native::settings::GatewaySettings;
use config_schema::value::{Cidr, host};
use config_schema::{Documents, Resource};

use super::visibility::{Exported, Viewer};
use crate::network::Network;
use crate::upstream::address::Address;

/// One declared host.
#[derive(Debug, Clone, Default)]
pub(super) struct Service {
    pub(super) namespace: String,
    pub(super) ports: Vec<Port>,
    pub(super) resolution: Option<Resolution>,
    /// Names of which its certificate must carry one.
    pub(super) subject_alt_names: Vec<String>,
    pub(super) instances: Vec<Instance>,
    /// Whether a document says that it is outside.
    pub(super) is_external: bool,
    /// Networks that its names may lead to though they are not public.
    pub(super) networks: Vec<Network>,
}

/// A port of a service.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) protocol: String,
    pub(super) target: u32,
}

/// An endpoint before its port is chosen.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) address: String,
    /// By port name.
    pub(super) ports: BTreeMap<String, u32>,
    pub(super) labels: BTreeMap<String, String>,
    /// `region/zone/subzone`; empty when unknown.
    pub(super) locality: String,
    pub(super) weight: u32,
}

/// All declared hosts, and the rules for their traffic.
pub(super) struct Registry<'a> {
    services: HashMap<String, Service>,
    rules: HashMap<String, Vec<&'a Resource<DestinationRule>>>,
    checks: HashMap<String, Vec<&'a HealthCheck>>,
    node_namespace: String,
    root_namespace: String,
}

impl<'a> Registry<'a> {
    pub(super) fn of(documents: &'a Documents, settings: &GatewaySettings) -> Self {
        let mut services: HashMap<String, Service> = HashMap::new();
        let viewer = Viewer::new(settings);
        let is_seen = |it: &&Resource<ServiceEntry>| {
            viewer.sees(Exported::ServiceEntry, &it.spec.export_to, &it.metadata.namespace)
        };
        for entry in documents.service_entries.iter().filter(is_seen) {
            let service = lower_entry(entry, documents);
            for name in &entry.spec.hosts {
                merge(services.entry(name.to_ascii_lowercase()).or_default(), service.clone());
            }
        }
        let domain = &settings.node.cluster_domain;
        for service in kubernetes(documents, domain) {
            services.entry(service.0).or_insert(service.1);
        }
        let mut rules: HashMap<String, Vec<_>> = HashMap::new();
        for rule in applicable(&documents.destination_rules, settings) {
            let name = host::qualify(&rule.spec.host, &rule.metadata.namespace, domain);
            rules.entry(name).or_default().push(rule);
        }
        let mut checks: HashMap<String, Vec<_>> = HashMap::new();
        for check in &documents.health_checks {
            let name = host::qualify(&check.spec.host, &check.metadata.namespace, domain);
            checks.entry(name).or_default().push(check.spec.as_ref());
        }
        let root_namespace = settings.root_namespace().to_owned();
        Self { services, rules, checks, node_namespace: settings.node.namespace.clone(), root_namespace }
    }

    /// The declaration of a host: its own, or that of the longest wildcard over it.
    pub(super) fn find(&self, name: &str) -> Option<&Service> {
        host::widening(name).find_map(|it| self.services.get(&it))
    }

    /// The health check of a host's port: the one that names it, else one for every port.
    pub(super) fn check(&self, name: &str, port: u16) -> Option<&'a HealthCheck> {
        let checks = self.checks.get(name)?;
        let of_port = checks.iter().find(|it| it.port == Some(u32::from(port)));
        of_port.or_else(|| checks.iter().find(|it| it.port.is_none())).copied()
    }

    /// The rules for a host, by Istio's order of namespaces: the gateway's, the service's, the root.
    pub(super) fn rules(&self, name: &str, service_namespace: &str) -> Vec<&'a Resource<DestinationRule>> {
        for namespace in [self.node_namespace.as_str(), service_namespace, &self.root_namespace] {
            for pattern in host::widening(name) {
                let rules = self.rules.get(&pattern).into_iter().flatten();
                let found: Vec<_> = rules.copied().filter(|it| it.metadata.namespace == namespace).collect();
                if !found.is_empty() {
                    return found;
                }
            }
        }
        Vec::new()
    }
}

/// The rules that this gateway sees; those that are for it by its labels stand before the others.
fn applicable<'a>(
    rules: &'a [Resource<DestinationRule>],
    settings: &GatewaySettings,
) -> impl Iterator<Item = &'a Resource<DestinationRule>> {
    let viewer = Viewer::new(settings);
    let is_seen = |it: &&Resource<DestinationRule>| {
        viewer.sees(Exported::DestinationRule, &it.spec.export_to, &it.metadata.namespace)
    };
    let selects_us = |it: &Resource<DestinationRule>| {
        let selector = it.spec.workload_selector.as_ref()?;
        Some(it.metadata.namespace == settings.node.namespace && selects(&selector.labels, &settings.node.labels))
    };
    let (selected, rest): (Vec<_>, Vec<_>) = rules
        .iter()
        .filter(is_seen)
        .filter(|it| selects_us(it) != Some(false))
        .partition(|it| selects_us(it).is_some());
    selected.into_iter().chain(rest)
}

/// Several entries for one host: ports are united, the oldest says the rest.
fn merge(known: &mut Service, more: Service) {
    if known.ports.is_empty() && known.instances.is_empty() {
        *known = more;
        return;
    }
    for port in more.ports {
        if !known.ports.iter().any(|it| it.number == port.number) {
            known.ports.push(port);
        }
    }
    known.instances.extend(more.instances);
}

fn lower_entry(entry: &Resource<ServiceEntry>, documents: &Documents) -> Service {
    let ServiceEntry {
        hosts: _,
        addresses,
        ports,
        location,
        resolution,
        endpoints,
        workload_selector,
        export_to: _,
        subject_alt_names,
    } = entry.spec.as_ref();
    let mut instances: Vec<Instance> = endpoints.iter().map(instance).collect();
    if let Some(selector) = workload_selector {
        let selected = documents.workload_entries.iter().filter(|it| {
            it.metadata.namespace == entry.metadata.namespace && selects(&selector.labels, &it.spec.labels)
        });
        instances.extend(selected.map(|it| instance(&it.spec)));
    }
    let ports = ports
        .iter()
        .map(|ServicePort { number, protocol, name, target_port }| Port {
            number: *number,
            name: name.clone(),
            protocol: protocol.to_ascii_uppercase(),
            target: if *target_port == 0 { *number } else { *target_port },
        })
        .collect();
    Service {
        namespace: entry.metadata.namespace.clone(),
        ports,
        resolution: *resolution,
        subject_alt_names: subject_alt_names.clone(),
        instances,
        is_external: *location == Some(Location::MeshExternal),
        networks: addresses
            .iter()
            .filter_map(|it| it.parse::<Cidr>().ok())
            .map(|it| Network::new(it.address(), it.prefix()))
            .collect(),
    }
}

fn instance(entry: &WorkloadEntry) -> Instance {
    let WorkloadEntry { address, ports, labels, network: _, locality, weight, service_account: _ } = entry;
    Instance {
        address: address.clone(),
        ports: ports.clone(),
        labels: labels.clone(),
        locality: locality.clone(),
        weight: (*weight).max(1),
    }
}

/// Services of a cluster's dump with the endpoints of their slices.
fn kubernetes<'a>(documents: &'a Documents, domain: &'a str) -> impl Iterator<Item = (String, Service)> + 'a {
    documents.services.iter().map(move |it| {
        let name = host::qualify(&it.metadata.name, &it.metadata.namespace, domain);
        let ports = it.spec.ports.iter().map(kubernetes_port).collect();
        let slices = documents.endpoint_slices.iter().filter(|slice| {
            slice.metadata.namespace == it.metadata.namespace
                && slice.metadata.labels.get(SERVICE_NAME_LABEL) == Some(&it.metadata.name)
        });
        let mut instances: Vec<Instance> = slices.flat_map(|it| slice_instances(&it.spec)).collect();
        let resolution = if !instances.is_empty() {
            Resolution::Static
        } else {
            // Without slices the cluster's own DNS knows where the service is.
            let target = if it.spec.external_name.is_empty() { &name } else { &it.spec.external_name };
            instances.push(Instance {
                address: target.clone(),
                ports: BTreeMap::new(),
                labels: BTreeMap::new(),
                locality: String::new(),
                weight: 1,
            });
            Resolution::Dns
        };
        let namespace = it.metadata.namespace.clone();
        (name, Service { namespace, ports, resolution: Some(resolution), instances, ..Service::default() })
    })
}

fn kubernetes_port(port: &KubernetesPort) -> Port {
    let KubernetesPort { name, port: number, protocol: _, app_protocol, target_port: _, node_port: _ } = port;
    let said = if app_protocol.is_empty() { name.split('-').next().unwrap_or_default() } else { app_protocol };
    let protocol = match said {
        "grpc" | "http2" | "kubernetes.io/h2c" | "h2c" => "HTTP2",
        _ => "HTTP",
    };
    // The cluster's address of a service answers on its own ports.
    Port { number: *number, name: name.clone(), protocol: protocol.to_owned(), target: *number }
}

fn slice_instances(slice: &EndpointSlice) -> Vec<Instance> {
    let ports: BTreeMap<String, u32> = slice.ports.iter().map(|it| (it.name.clone(), it.port)).collect();
    slice
        .endpoints
        .iter()
        .filter(|it| it.conditions.ready.unwrap_or(true))
        .filter_map(|it| {
            let address = it.addresses.first()?.clone();
            Some(Instance {
                address,
                ports: ports.clone(),
                labels: BTreeMap::new(),
                locality: String::new(),
                weight: 1,
            })
        })
        .collect()
}

impl Instance {
    /// Where a port of the service is at this endpoint.
    pub(super) fn port(&self, port: &Port) -> u16 {
        let number = self.ports.get(&port.name).copied().unwrap_or(port.target);
        u16::try_from(number).unwrap_or_default()
    }

    /// The address, if it is one that needs no lookup.
    pub(super) fn address(&self, port: &Port) -> Option<Address> {
        match self.address.strip_prefix("unix://") {
            Some(path) => Some(Address::Unix(PathBuf::from(path))),
            None => Some(Address::Inet((self.address.parse::<std::net::IpAddr>().ok()?, self.port(port)).into())),
        }
    }
}
