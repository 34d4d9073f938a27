//! Rules of names: a resource has one, and nobody else of its kind and namespace has it.

use std::collections::HashMap;

use super::check::Check;
use crate::document::{Documents, Resource};
use crate::problem::{Problems, Severity, code};
use crate::read::Origin;
use crate::value::host;

pub(super) fn check(documents: &Documents, problems: &mut Problems) {
    let Documents {
        sources: _,
        gateways,
        virtual_services,
        destination_rules,
        service_entries,
        workload_entries,
        sidecars,
        request_authentications,
        authorization_policies,
        peer_authentications,
        telemetries,
        envoy_filters,
        secrets,
        config_maps,
        services,
        endpoint_slices,
        api_key_authentications,
        basic_authentications,
        health_checks,
        egress_policies,
        egress_credentials,
        rate_limit_policies,
        settings,
    } = documents;
    check_kind(gateways, problems);
    check_kind(virtual_services, problems);
    check_kind(destination_rules, problems);
    check_kind(service_entries, problems);
    check_kind(workload_entries, problems);
    check_kind(sidecars, problems);
    check_kind(request_authentications, problems);
    check_kind(authorization_policies, problems);
    check_kind(peer_authentications, problems);
    check_kind(telemetries, problems);
    check_kind(envoy_filters, problems);
    check_kind(secrets, problems);
    check_kind(config_maps, problems);
    check_kind(services, problems);
    check_kind(endpoint_slices, problems);
    check_kind(api_key_authentications, problems);
    check_kind(basic_authentications, problems);
    check_kind(health_checks, problems);
    check_kind(egress_policies, problems);
    check_kind(egress_credentials, problems);
    check_kind(rate_limit_policies, problems);
    check_kind(settings, problems);
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
        fn sort<T>(resources: &mut [Resource<T>]) {
            resources.sort_by(|a, b| a.age_order().cmp(&b.age_order()));
        }
        let Self {
            sources: _,
            gateways,
            virtual_services,
            destination_rules,
            service_entries,
            workload_entries,
            sidecars,
            request_authentications,
            authorization_policies,
            peer_authentications,
            telemetries,
            envoy_filters,
            secrets,
            config_maps,
            services,
            endpoint_slices,
            api_key_authentications,
            basic_authentications,
            health_checks,
            egress_policies,
            egress_credentials,
            rate_limit_policies,
            // There is one at most.
            settings: _,
        } = self;
        sort(gateways);
        sort(virtual_services);
        sort(destination_rules);
        sort(service_entries);
        sort(workload_entries);
        sort(sidecars);
        sort(request_authentications);
        sort(authorization_policies);
        sort(peer_authentications);
        sort(telemetries);
        sort(envoy_filters);
        sort(secrets);
        sort(config_maps);
        sort(services);
        sort(endpoint_slices);
        sort(api_key_authentications);
        sort(basic_authentications);
        sort(health_checks);
        sort(egress_policies);
        sort(egress_credentials);
        sort(rate_limit_policies);
    }
}
