//! Rules of a Gateway of the Gateway API: its listeners, their hosts and TLS.

use std::collections::HashSet;
use std::fmt::Display;

use super::check::Check;
use crate::document::Resource;
use crate::gateway_api::kubernetes_gateway::{
    AllowedRoutes, FromNamespaces, KubernetesGateway, Listener, ListenerTls, ListenerTlsMode, RouteNamespaces,
};
use crate::problem::{Problems, Severity, code};
use crate::value::host;

/// Most listeners of one Gateway.
const MAX_LISTENERS: usize = 64;

pub(super) fn check(resource: &Resource<KubernetesGateway>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let KubernetesGateway { gateway_class_name, listeners, addresses: _, allowed_listeners: _, tls, infrastructure: _ } =
        check.spec();
    if gateway_class_name.is_empty() {
        check.error("spec.gatewayClassName", "a Gateway names its class");
    }
    if tls.is_some() {
        let message = "not offered; ask for client certificates by MUTUAL of an Istio Gateway, show one to backends by a DestinationRule";
        check.error("spec.tls", message);
    }
    if listeners.is_empty() || listeners.len() > MAX_LISTENERS {
        check.error("spec.listeners", format!("a Gateway has between 1 and {MAX_LISTENERS} listeners"));
    }
    let mut names = HashSet::new();
    let mut places = HashSet::new();
    for (index, listener) in listeners.iter().enumerate() {
        let at = format!("spec.listeners[{index}]");
        self::listener(&mut check, &at, listener);
        if !names.insert(&listener.name) {
            check.error(format_args!("{at}.name"), format!("two listeners are called `{}`", listener.name));
        }
        if !places.insert((listener.port, &listener.protocol, listener.hostname.to_ascii_lowercase())) {
            check.error(&at, "two listeners have the same port, protocol and hostname");
        }
    }
}

fn listener(check: &mut Check<'_, KubernetesGateway>, at: &str, listener: &Listener) {
    let Listener { name, hostname, port, protocol, tls, allowed_routes } = listener;
    if !host::is_resource_name(name) {
        check.error(format_args!("{at}.name"), format!("`{name}` is no name of a listener"));
    }
    hostname_of(check, format_args!("{at}.hostname"), hostname);
    check.port(format_args!("{at}.port"), *port);
    match (protocol.as_str(), tls) {
        ("HTTP", None) => {}
        ("HTTP", Some(_)) => check.error(format_args!("{at}.tls"), "a listener of protocol HTTP has no TLS"),
        ("HTTPS", None) => check.error(format_args!("{at}.tls"), "a listener of protocol HTTPS needs TLS settings"),
        ("HTTPS", Some(tls)) => self::tls(check, at, tls),
        // Those that others define are written with a domain, but for the one of Istio's waypoints.
        (it, _) if matches!(it, "TLS" | "TCP" | "UDP" | "HBONE") || it.contains('/') => check.report(
            code::NOT_HONOURED,
            Severity::Warning,
            format_args!("{at}.protocol"),
            format!("listeners of protocol {protocol} are not opened; use an Istio Gateway"),
        ),
        _ => check.error(format_args!("{at}.protocol"), format!("`{protocol}` is neither HTTP nor HTTPS")),
    }
    if let Some(AllowedRoutes { namespaces, kinds }) = allowed_routes {
        if let Some(RouteNamespaces { from: Some(FromNamespaces::Selector), selector: None }) = namespaces {
            check.error(format_args!("{at}.allowedRoutes.namespaces"), "`from: Selector` needs a selector");
        }
        for (index, it) in kinds.iter().enumerate().filter(|(_, it)| it.kind != "HTTPRoute") {
            let message = format!("routes of kind {} are not read", it.kind);
            let field = format!("{at}.allowedRoutes.kinds[{index}]");
            check.report(code::NOT_HONOURED, Severity::Warning, field, message);
        }
    }
}

fn tls(check: &mut Check<'_, KubernetesGateway>, at: &str, tls: &ListenerTls) {
    let ListenerTls { mode, certificate_refs, options: _ } = tls;
    if *mode == Some(ListenerTlsMode::Passthrough) {
        check.error(
            format_args!("{at}.tls.mode"),
            "HTTPS ends here; for SNI routing use PASSTHROUGH of an Istio Gateway",
        );
    }
    if certificate_refs.is_empty() {
        check.error(format_args!("{at}.tls.certificateRefs"), "TLS that ends here needs a certificate");
    }
    for (index, it) in certificate_refs.iter().enumerate() {
        if !it.group.is_empty() || it.kind != "Secret" {
            let field = format!("{at}.tls.certificateRefs[{index}]");
            check.error(field, format!("certificates come from Secrets, not from {} `{}`", it.kind, it.group));
        }
    }
}

/// A hostname of a listener or route; empty is every host.
pub(super) fn hostname_of<T>(check: &mut Check<'_, T>, field: impl Display, name: &str) {
    if name.is_empty() {
        return;
    }
    let plain = name.strip_prefix("*.").unwrap_or(name);
    if host::is_ip(name) {
        check.error(field, format!("`{name}` is an address; hostnames are names"));
    } else if plain.contains('*') || (name != plain && plain.is_empty()) {
        check.error(field, format!("`{name}`: a wildcard stands only as the whole first label, as in *.example.com"));
    } else {
        check.expect(field, host::check_fqdn(plain));
    }
}
