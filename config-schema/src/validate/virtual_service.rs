//! Rules of a VirtualService: its hosts and gateways, and its TLS and TCP rules.

use std::collections::HashSet;

use super::check::Check;
use super::http_route;
use crate::document::Resource;
use crate::istio::shared::Destination;
use crate::istio::virtual_service::{RouteDestination, TcpRoute, TlsRoute, VirtualService};
use crate::problem::{Problems, Severity, code};
use crate::value::{Cidr, host};

/// Name that stands for all sidecars.
pub(super) const MESH: &str = "mesh";

/// Beginning of the names by which clusters of a mesh reach each other.
const MULTI_CLUSTER: &str = "outbound_.";

pub(super) fn check(resource: &Resource<VirtualService>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let VirtualService { hosts, gateways, http, tls, tcp, export_to } = check.spec();
    let is_delegate = hosts.is_empty();
    let for_mesh = gateways.is_empty() || gateways.iter().any(|it| it == MESH);
    if is_delegate {
        if !gateways.is_empty() {
            check.error("spec.gateways", "a delegate (a VirtualService without hosts) cannot name gateways");
        }
        if !tls.is_empty() || !tcp.is_empty() {
            check.error("spec", "a delegate (a VirtualService without hosts) has only http rules");
        }
        if http.is_empty() {
            check.error("spec.hosts", "a virtual service needs at least one host");
        }
    } else {
        self::hosts(&mut check, hosts, for_mesh);
    }
    for (index, gateway) in gateways.iter().enumerate() {
        check.expect(format_args!("spec.gateways[{index}]"), gateway_name(gateway));
    }
    if http.is_empty() && tls.is_empty() && tcp.is_empty() {
        check.error("spec", "http, tls or tcp must be given");
    }
    if !is_delegate && gateways.iter().all(|it| it == MESH) {
        let message = "bound only to `mesh`, so no gateway uses it";
        check.report(code::MESH_ONLY, Severity::Warning, "spec.gateways", message);
    }
    http_route::check_all(&mut check, http, is_delegate);
    for (index, rule) in tls.iter().enumerate() {
        tls_route(&mut check, &format!("spec.tls[{index}]"), rule, hosts);
    }
    for (index, rule) in tcp.iter().enumerate() {
        tcp_route(&mut check, &format!("spec.tcp[{index}]"), rule);
    }
    check.export_to(export_to);
}

fn hosts(check: &mut Check<'_, VirtualService>, hosts: &[String], for_mesh: bool) {
    let mut seen: HashSet<String> = HashSet::new();
    for (index, name) in hosts.iter().enumerate() {
        let field = format!("spec.hosts[{index}]");
        if name.starts_with(MULTI_CLUSTER) {
            check.expect(&field, host::check_sni(name));
        } else if !host::is_ip(name) {
            check.expect(&field, host::check_wildcard(name));
        }
        if name == "*" && for_mesh {
            check.error(&field, "the host `*` is not allowed for the mesh; name the gateways it is for");
        }
        let lower = name.to_ascii_lowercase();
        if let Some(other) = seen.iter().find(|it| host::intersect(it, &lower).is_some()) {
            check.error(&field, format!("`{name}` duplicates the host `{other}`"));
        }
        seen.insert(lower);
    }
}

/// Whether `text` names a gateway: `mesh`, `name` or `namespace/name`.
pub(super) fn gateway_name(text: &str) -> Result<(), String> {
    let (namespace, name) = text.split_once('/').map_or((None, text), |(namespace, name)| (Some(namespace), name));
    if let Some(namespace) = namespace
        && namespace != "."
        && !host::is_lower_label(namespace)
    {
        return Err(format!("`{text}` is no gateway: `{namespace}` is no namespace"));
    }
    if !host::is_resource_name(name) {
        return Err(format!("`{text}` is no gateway: `{name}` is no name"));
    }
    Ok(())
}

/// Rules of a destination that both HTTP and TCP use.
pub(super) fn destination(check: &mut Check<'_, VirtualService>, at: &str, destination: Option<&Destination>) {
    let Some(Destination { host, subset, port }) = destination else {
        check.error(at, "a destination must be given");
        return;
    };
    if host == "*" {
        check.error(format_args!("{at}.host"), "a destination cannot be `*`");
    } else if !host::is_ip(host) {
        check.expect(format_args!("{at}.host"), host::check_wildcard(host));
    }
    if !subset.is_empty() && !host::is_label(subset) {
        check.error(format_args!("{at}.subset"), format!("`{subset}` is no subset name"));
    }
    if let Some(port) = port {
        check.port(format_args!("{at}.port.number"), port.number);
    }
}

/// Rules of the weights beside each other.
pub(super) fn weights(check: &mut Check<'_, VirtualService>, at: &str, weights: impl Iterator<Item = i32> + Clone) {
    for (index, weight) in weights.clone().enumerate() {
        if weight < 0 {
            check.error(format_args!("{at}[{index}].weight"), format!("weight {weight} must not be negative"));
        }
    }
    let total: i64 = weights.clone().map(i64::from).sum();
    if weights.count() > 1 && total == 0 {
        check.error(at, "the weights of several destinations must not all be 0");
    } else if total > i64::from(u32::MAX) {
        check.error(at, format!("the weights add up to {total}, more than {}", u32::MAX));
    }
}

fn routes(check: &mut Check<'_, VirtualService>, at: &str, routes: &[RouteDestination]) {
    if routes.is_empty() {
        check.error(at, "a rule needs at least one route");
    }
    for (index, it) in routes.iter().enumerate() {
        destination(check, &format!("{at}.route[{index}].destination"), it.destination.as_ref());
    }
    weights(check, &format!("{at}.route"), routes.iter().map(|it| it.weight));
}

fn tls_route(check: &mut Check<'_, VirtualService>, at: &str, rule: &TlsRoute, hosts: &[String]) {
    let TlsRoute { matches, route } = rule;
    if matches.is_empty() {
        check.error(at, "a TLS rule needs at least one match");
    }
    for (index, it) in matches.iter().enumerate() {
        let at = format!("{at}.match[{index}]");
        if it.sni_hosts.is_empty() {
            check.error(&at, "a TLS match needs at least one sniHosts entry");
        }
        for (index, sni) in it.sni_hosts.iter().enumerate() {
            let field = format!("{at}.sniHosts[{index}]");
            check.expect(&field, host::check_sni(sni));
            let is_address = host::is_ip(sni);
            if !is_address
                && !hosts.iter().any(|it| host::is_subset(&sni.to_ascii_lowercase(), &it.to_ascii_lowercase()))
            {
                check.error(&field, format!("`{sni}` is within none of the virtual service's hosts"));
            }
        }
        l4(check, &at, it.port, &it.destination_subnets, &it.gateways);
    }
    routes(check, at, route);
}

fn tcp_route(check: &mut Check<'_, VirtualService>, at: &str, rule: &TcpRoute) {
    let TcpRoute { matches, route } = rule;
    for (index, it) in matches.iter().enumerate() {
        l4(check, &format!("{at}.match[{index}]"), it.port, &it.destination_subnets, &it.gateways);
    }
    routes(check, at, route);
}

fn l4(check: &mut Check<'_, VirtualService>, at: &str, port: u32, subnets: &[String], gateways: &[String]) {
    if port != 0 {
        check.port(format_args!("{at}.port"), port);
    }
    for (index, subnet) in subnets.iter().enumerate() {
        check.expect(format_args!("{at}.destinationSubnets[{index}]"), subnet.parse::<Cidr>().map(|_| ()));
    }
    for (index, gateway) in gateways.iter().enumerate() {
        check.expect(format_args!("{at}.gateways[{index}]"), gateway_name(gateway));
    }
}
