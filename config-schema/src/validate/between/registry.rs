//! The hosts that documents declare, by name and wildcard.

use std::collections::{BTreeMap, HashMap};

use crate::document::{Documents, Resource};
use crate::istio::destination_rule::DestinationRule;
use crate::istio::service_entry::{Resolution, ServiceEntry};
use crate::istio::shared::{is_exported, selects};
use crate::value::host;

/// One declared host.
#[derive(Debug, Default)]
pub(super) struct Declared<'a> {
    pub(super) ports: Vec<u32>,
    labels: Vec<&'a BTreeMap<String, String>>,
    pub(super) unresolved: bool,
    /// Who may see it: the owners and `exportTo` of its documents.
    exports: Vec<(&'a str, &'a [String])>,
}

impl Declared<'_> {
    /// Several documents may declare the same port of a host.
    fn add_ports(&mut self, ports: impl Iterator<Item = u32>) {
        for port in ports {
            if !self.ports.contains(&port) {
                self.ports.push(port);
            }
        }
    }
}

/// Hosts by name; wildcards keep their `*`.
#[derive(Debug)]
pub(super) struct Registry<'a> {
    hosts: HashMap<String, Declared<'a>>,
    rules: HashMap<String, Vec<&'a Resource<DestinationRule>>>,
    /// Who sees a host whose document does not say so.
    default_export: &'a [String],
}

impl<'a> Registry<'a> {
    pub(super) fn of(documents: &'a Documents, cluster_domain: &str) -> Self {
        let mut hosts: HashMap<String, Declared<'_>> = HashMap::new();
        for entry in &documents.service_entries {
            let ServiceEntry { hosts: names, ports, resolution, endpoints, workload_selector, export_to, .. } =
                entry.spec.as_ref();
            for name in names {
                let declared = hosts.entry(name.to_ascii_lowercase()).or_default();
                declared.exports.push((&entry.metadata.namespace, export_to));
                declared.add_ports(ports.iter().map(|it| it.number));
                declared.labels.extend(endpoints.iter().map(|it| &it.labels));
                let selected = documents.workload_entries.iter().filter(|it| {
                    let labels = workload_selector.as_ref().map(|it| &it.labels);
                    it.metadata.namespace == entry.metadata.namespace
                        && labels.is_some_and(|labels| selects(labels, &it.spec.labels))
                });
                declared.labels.extend(selected.map(|it| &it.spec.labels));
                declared.unresolved = resolution.unwrap_or(Resolution::None) == Resolution::None;
            }
        }
        for service in &documents.services {
            let name = host::qualify(&service.metadata.name, &service.metadata.namespace, cluster_domain);
            let declared = hosts.entry(name).or_default();
            declared.exports.push((&service.metadata.namespace, &[]));
            declared.add_ports(service.spec.ports.iter().map(|it| it.port));
        }
        let mut rules: HashMap<String, Vec<_>> = HashMap::new();
        for rule in &documents.destination_rules {
            let name = host::qualify(&rule.spec.host, &rule.metadata.namespace, cluster_domain);
            rules.entry(name).or_default().push(rule);
        }
        let mesh = documents.settings.first().map(|it| &it.spec.mesh_config);
        Self { hosts, rules, default_export: mesh.map_or(&[], |it| &it.default_service_export_to) }
    }

    /// The declaration of a host: its own, or the longest wildcard over it.
    pub(super) fn find(&self, name: &str) -> Option<&Declared<'a>> {
        host::widening(name).find_map(|it| self.hosts.get(&it))
    }

    /// The same, among those that documents of a namespace see.
    pub(super) fn find_from(&self, namespace: &str, name: &str) -> Option<&Declared<'a>> {
        host::widening(name).find_map(|it| self.hosts.get(&it).filter(|it| self.is_seen_from(it, namespace)))
    }

    fn is_seen_from(&self, declared: &Declared<'_>, namespace: &str) -> bool {
        declared.exports.iter().any(|(owner, given)| is_exported(given, self.default_export, owner, namespace))
    }

    /// Whether any declared host is one that `pattern` matches.
    pub(super) fn any_within(&self, pattern: &str) -> bool {
        self.find(pattern).is_some() || self.hosts.keys().any(|it| host::is_subset(it, pattern))
    }

    /// Whether a rule for the host declares the subset.
    pub(super) fn has_subset(&self, name: &str, subset: &str) -> bool {
        host::widening(name)
            .filter_map(|it| self.rules.get(&it))
            .flatten()
            .any(|rule| rule.spec.subsets.iter().any(|it| it.name == subset))
    }

    /// Labels of the endpoints that documents declare for a host.
    pub(super) fn endpoint_labels(&self, name: &str) -> &[&'a BTreeMap<String, String>] {
        self.find(name).map_or(&[], |it| &it.labels)
    }

    /// Whether documents declare any host at all.
    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}
