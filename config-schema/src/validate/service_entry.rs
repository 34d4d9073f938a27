//! Rules of ServiceEntry and WorkloadEntry: hosts, ports, and endpoints that fit the resolution.

use std::collections::HashSet;

use super::check::{Check, PROTOCOLS};
use crate::document::Resource;
use crate::istio::service_entry::{Location, Resolution, ServiceEntry, ServicePort};
use crate::istio::workload_entry::WorkloadEntry;
use crate::problem::{Problems, Severity, code};
use crate::value::{Cidr, host};

type Checked<'a, 'b> = &'a mut Check<'b, ServiceEntry>;

/// Label by which a document asks for a waypoint.
const USE_WAYPOINT: &str = "istio.io/use-waypoint";

pub(super) fn check(resource: &Resource<ServiceEntry>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let entry = check.spec();
    let resolution = entry.resolution.unwrap_or(Resolution::None);
    hosts(&mut check, &entry.hosts);
    ports(&mut check, entry);
    addresses(&mut check, entry, resolution);
    if let Some(selector) = &entry.workload_selector {
        check.labels(&"spec.workloadSelector.labels", &selector.labels);
        if !entry.endpoints.is_empty() {
            check.error("spec", "only one of workloadSelector and endpoints can be set");
        }
        if resolution == Resolution::None {
            check.warn("spec.workloadSelector", "a workloadSelector needs a resolution other than NONE");
        }
    }
    endpoints(&mut check, entry, resolution);
    if resolution == Resolution::DynamicDns {
        dynamic(&mut check, entry);
    }
    check.export_to(&entry.export_to);
}

fn hosts(check: Checked<'_, '_>, hosts: &[String]) {
    if hosts.is_empty() {
        check.error("spec.hosts", "a service entry needs at least one host");
    }
    for (index, name) in hosts.iter().enumerate() {
        let field = format!("spec.hosts[{index}]");
        if name == "*" {
            check.error(field, "the host cannot be `*` alone");
            continue;
        }
        check.expect(&field, host::check_wildcard(name));
        if name.starts_with('*') && !name.starts_with("*.") {
            check.warn(&field, format!("the wildcard of `{name}` does not stand for a whole label"));
        }
        if host::is_ip(name) {
            check.warn(&field, format!("`{name}` is an address, not a name"));
        }
    }
}

fn ports(check: Checked<'_, '_>, entry: &ServiceEntry) {
    let (mut numbers, mut names) = (HashSet::new(), HashSet::new());
    for (index, port) in entry.ports.iter().enumerate() {
        let ServicePort { number, protocol, name, target_port } = port;
        let at = format!("spec.ports[{index}]");
        if !host::is_label(name) {
            check.error(format_args!("{at}.name"), format!("`{name}` is no port name"));
        }
        check.port(format_args!("{at}.number"), *number);
        if *target_port != 0 {
            check.port(format_args!("{at}.targetPort"), *target_port);
        }
        if !protocol.is_empty() && !PROTOCOLS.iter().any(|it| it.eq_ignore_ascii_case(protocol)) {
            let message =
                format!("unknown protocol `{protocol}` is treated as TCP; known are {}", PROTOCOLS.join(", "));
            check.warn(format_args!("{at}.protocol"), message);
        }
        if !numbers.insert(number) {
            check.error(format_args!("{at}.number"), format!("port {number} is declared twice"));
        }
        if !names.insert(name) {
            check.error(format_args!("{at}.name"), format!("the port name `{name}` is used twice"));
        }
        let resolution = entry.resolution.unwrap_or(Resolution::None);
        let opaque = matches!(protocol.to_ascii_uppercase().as_str(), "TCP" | "MONGO" | "");
        if opaque && entry.addresses.is_empty() {
            // A gateway knows such hosts by their routes; only sidecars would catch every address of the port.
            let severity = if resolution == Resolution::None { Severity::Warning } else { Severity::Info };
            let message = "TCP without addresses catches every address";
            check.report(code::ADDRESSES_REQUIRED, severity, format_args!("{at}.protocol"), message);
        }
    }
    if entry.ports.is_empty() {
        check.warn("spec.ports", "without ports nothing can be routed to this service");
    }
}

fn addresses(check: Checked<'_, '_>, entry: &ServiceEntry, resolution: Resolution) {
    for (index, address) in entry.addresses.iter().enumerate() {
        let field = format!("spec.addresses[{index}]");
        match address.parse::<Cidr>() {
            Err(message) => check.error(&field, message),
            Ok(_) if address.contains('/') && !matches!(resolution, Resolution::None | Resolution::Static) => {
                check.error(&field, "CIDR addresses are allowed only for NONE/STATIC resolution types");
            }
            Ok(_) => {}
        }
    }
}

fn endpoints(check: Checked<'_, '_>, entry: &ServiceEntry, resolution: Resolution) {
    match resolution {
        Resolution::None => {
            if !entry.endpoints.is_empty() {
                check.error("spec.endpoints", "resolution NONE cannot have endpoints; did you mean STATIC or DNS?");
            }
        }
        Resolution::Static => {}
        Resolution::Dns | Resolution::DnsRoundRobin => {
            if resolution == Resolution::DnsRoundRobin && entry.endpoints.len() > 1 {
                check.error("spec.endpoints", "DNS_ROUND_ROBIN mode cannot have multiple endpoints");
            }
            if entry.endpoints.is_empty() && entry.workload_selector.is_none() {
                for (index, name) in entry.hosts.iter().enumerate() {
                    check.expect(
                        format_args!("spec.hosts[{index}]"),
                        host::check_fqdn(name)
                            .map_err(|it| format!("{it}; DNS resolution without endpoints resolves the host")),
                    );
                }
            }
        }
        Resolution::DynamicDns => {
            if !entry.endpoints.is_empty() || entry.workload_selector.is_some() {
                check.error("spec.endpoints", "DYNAMIC_DNS resolves the host of the request and cannot have endpoints");
            }
        }
    }
    addresses_fit(check, entry, resolution);
}

/// Each endpoint's address is of the form that the resolution can use.
fn addresses_fit(check: Checked<'_, '_>, entry: &ServiceEntry, resolution: Resolution) {
    let names: HashSet<&str> = entry.ports.iter().map(|it| it.name.as_str()).collect();
    for (index, endpoint) in entry.endpoints.iter().enumerate() {
        let at = format!("spec.endpoints[{index}]");
        let unix = endpoint.address.starts_with("unix://");
        workload(check, &at, endpoint);
        for name in endpoint.ports.keys().filter(|it| !names.contains(it.as_str())) {
            check.error(format_args!("{at}.ports[\"{name}\"]"), format!("the service has no port named `{name}`"));
        }
        match resolution {
            Resolution::Static if unix => {
                if entry.ports.len() != 1 {
                    check.error(format_args!("{at}.address"), "a unix domain socket serves exactly one port");
                }
            }
            Resolution::Static => {
                if !endpoint.address.is_empty() && !host::is_ip(&endpoint.address) {
                    let message = format!(
                        "`{}` must be an IP address with resolution STATIC; use DNS for names",
                        endpoint.address
                    );
                    check.error(format_args!("{at}.address"), message);
                }
            }
            Resolution::Dns | Resolution::DnsRoundRobin => {
                if unix || (!host::is_ip(&endpoint.address) && host::check_fqdn(&endpoint.address).is_err()) {
                    check.error(
                        format_args!("{at}.address"),
                        format!("`{}` must be a name or an IP address", endpoint.address),
                    );
                }
            }
            Resolution::None | Resolution::DynamicDns => {}
        }
    }
}

fn dynamic(check: Checked<'_, '_>, entry: &ServiceEntry) {
    for (index, name) in entry.hosts.iter().enumerate() {
        if !name.starts_with("*.") {
            check.error(format_args!("spec.hosts[{index}]"), "DYNAMIC_DNS is for wildcard hosts; use DNS for a name");
        }
    }
    if !entry.addresses.is_empty() {
        check.error("spec.addresses", "DYNAMIC_DNS cannot have addresses");
    }
    // Istio's waypoints do not look names up that are inside.
    if entry.location == Some(Location::MeshInternal) && check.resource.metadata.labels.contains_key(USE_WAYPOINT) {
        check.error("spec.location", "DYNAMIC_DNS behind a waypoint must be MESH_EXTERNAL");
    }
    for (index, port) in entry.ports.iter().enumerate() {
        if !matches!(
            port.protocol.to_ascii_uppercase().as_str(),
            "HTTP" | "HTTPS" | "HTTP2" | "GRPC" | "GRPC-WEB" | "TLS"
        ) {
            let message = format!("DYNAMIC_DNS needs a protocol that names its host, not `{}`", port.protocol);
            check.error(format_args!("spec.ports[{index}].protocol"), message);
        }
    }
}

pub(super) fn check_workload(resource: &Resource<WorkloadEntry>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    workload(&mut check, "spec", &resource.spec);
}

/// Rules of an endpoint that both kinds share.
fn workload<T>(check: &mut Check<'_, T>, at: &str, it: &WorkloadEntry) {
    let WorkloadEntry { address, ports, labels, network, locality: _, weight: _, service_account: _ } = it;
    if let Some(path) = address.strip_prefix("unix://") {
        if !path.starts_with('/') && !path.starts_with('@') {
            check.error(format_args!("{at}.address"), "a unix domain socket must be an absolute path or begin with @");
        }
        if path.ends_with('/') {
            check.error(format_args!("{at}.address"), "a unix domain socket may not be a folder");
        }
        if !ports.is_empty() {
            check.error(format_args!("{at}.ports"), "a unix domain socket may not have ports");
        }
    } else if address.is_empty() {
        if network.is_empty() {
            check.error(format_args!("{at}.address"), "an endpoint needs an address");
        }
    } else if !host::is_ip(address) {
        check.expect(format_args!("{at}.address"), host::check_fqdn(address));
    }
    for (name, number) in ports {
        if !host::is_label(name) {
            check.error(format_args!("{at}.ports[\"{name}\"]"), format!("`{name}` is no port name"));
        }
        check.port(format_args!("{at}.ports[\"{name}\"]"), *number);
    }
    check.labels(&format_args!("{at}.labels"), labels);
}
