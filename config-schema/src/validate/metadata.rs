//! Rules of names: a resource has one, and nobody else of its kind and namespace has it.

use std::collections::HashMap;

use super::check::Check;
use crate::document::{Documents, Resource, for_every_kind};
use crate::problem::{Problems, Severity, code};
use crate::read::Origin;
use crate::value::host;

pub(super) fn check(documents: &Documents, problems: &mut Problems) {
    for_every_kind!(documents, |resources| check_kind(resources, problems));
}

fn check_kind<T>(resources: &[Resource<T>], problems: &mut Problems) {
    let mut seen: HashMap<(&str, &str), Origin> = HashMap::new();
    for resource in resources {
        let (name, namespace) = (resource.metadata.name.as_str(), resource.metadata.namespace.as_str());
        let mut check = Check::new(resource, problems);
        if !host::is_resource_name(name) {
            check.error("metadata.name", format!("`{name}` is no name: lower case letters, digits, `-` and `.`"));
        }
        if !host::is_lower_label(namespace) {
            check
                .error("metadata.namespace", format!("`{namespace}` is no namespace: lower case letters, digits, `-`"));
        }
        if seen.insert((namespace, name), resource.origin).is_some() {
            let message = format!("{} {namespace}/{name} is declared twice", resource.kind);
            check.report(code::DUPLICATE_RESOURCE, Severity::Error, "metadata.name", message);
        }
    }
}

impl Documents {
    /// Puts each kind into Istio's order of age, so that neither file nor document order decides.
    pub(super) fn sort_by_age(&mut self) {
        for_every_kind!(self, |resources| resources.sort_by(|a, b| a.age_order().cmp(&b.age_order())));
    }
}
