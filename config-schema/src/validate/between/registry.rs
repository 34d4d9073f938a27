//! The hosts that documents declare, by name and wildcard.

use std::collections::HashMap;

use crate::document::{Documents, Resource};
use crate::istio::destination_rule::DestinationRule;
use crate::istio::service_entry::{Resolution, ServiceEntry};
use crate::value::host;

/// One declared host.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) ports: Vec<u32>,
    pub(super) unresolved: bool,
}

/// Hosts by name; wildcards keep their `*`.
#[derive(Debug)]
pub(super) struct Registry<'a> {
    hosts: HashMap<String, Declared>,
    rules: HashMap<String, Vec<&'a Resource<DestinationRule>>>,
}

impl<'a> Registry<'a> {
    pub(super) fn of(documents: &'a Documents, cluster_domain: &str) -> Self {
        let mut hosts: HashMap<String, Declared> = HashMap::new();
        for entry in &documents.service_entries {
            let ServiceEntry { hosts: names, ports, resolution, .. } = &entry.spec;
            for name in names {
                let declared = hosts.entry(name.to_ascii_lowercase()).or_default();
                declared.ports.extend(ports.iter().map(|it| it.number));
                declared.unresolved = resolution.unwrap_or(Resolution::None) == Resolution::None;
            }
        }
        for service in &documents.services {
            let name = host::qualify(&service.metadata.name, &service.metadata.namespace, cluster_domain);
            let declared = hosts.entry(name).or_default();
            declared.ports.extend(service.spec.ports.iter().map(|it| it.port));
        }
        let mut rules: HashMap<String, Vec<_>> = HashMap::new();
        for rule in &documents.destination_rules {
            let name = host::qualify(&rule.spec.host, &rule.metadata.namespace, cluster_domain);
            rules.entry(name).or_default().push(rule);
        }
        Self { hosts, rules }
    }

    /// The declaration of a host: its own, or the longest wildcard over it.
    pub(super) fn find(&self, name: &str) -> Option<&Declared> {
        widening(name).find_map(|it| self.hosts.get(&it))
    }

    /// Whether any declared host is one that `pattern` matches.
    pub(super) fn any_within(&self, pattern: &str) -> bool {
        self.find(pattern).is_some() || self.hosts.keys().any(|it| host::is_subset(it, pattern))
    }

    /// Whether a rule for the host declares the subset.
    pub(super) fn has_subset(&self, name: &str, subset: &str) -> bool {
        widening(name)
            .filter_map(|it| self.rules.get(&it))
            .flatten()
            .any(|rule| rule.spec.subsets.iter().any(|it| it.name == subset))
    }

    /// Whether documents declare any host at all.
    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

/// The name, then `*.` over each of its suffixes, the longest first.
fn widening(name: &str) -> impl Iterator<Item = String> {
    let mut rest = name;
    std::iter::once(name.to_owned()).chain(std::iter::from_fn(move || {
        let (_, parent) = rest.split_once('.')?;
        rest = parent;
        Some(format!("*.{parent}"))
    }))
}
