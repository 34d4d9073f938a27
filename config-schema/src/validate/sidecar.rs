//! Rules of Sidecar and PeerAuthentication, which a gateway reads for their outbound part or not at all.

use std::collections::HashSet;

use super::check::Check;
use crate::document::Resource;
use crate::istio::peer_authentication::PeerAuthentication;
use crate::istio::sidecar::{EgressListener, Sidecar};
use crate::problem::{Problems, Severity, code};
use crate::value::host;

pub(super) fn check(resource: &Resource<Sidecar>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let Sidecar { workload_selector, ingress, egress, inbound_connection_pool: _, outbound_traffic_policy: _ } =
        check.spec();
    if let Some(selector) = workload_selector {
        check.labels(&"spec.workloadSelector.labels", &selector.labels);
    }
    if ingress.is_empty() && egress.is_empty() && check.spec() == &Sidecar::default() {
        check.warn("spec", "an empty sidecar changes nothing");
    }
    let mut ports = HashSet::new();
    for (index, listener) in egress.iter().enumerate() {
        let at = format!("spec.egress[{index}]");
        self::listener(&mut check, &at, listener);
        match &listener.port {
            None if index + 1 < egress.len() => {
                check.error(format_args!("{at}.port"), "only the last egress listener may leave out its port");
            }
            None => {}
            Some(port) if !ports.insert((&listener.bind, port.number)) => {
                check.error(format_args!("{at}.port"), format!("port {} is listened on twice", port.number));
            }
            Some(_) => {}
        }
    }
}

fn listener(check: &mut Check<'_, Sidecar>, at: &str, listener: &EgressListener) {
    let is_proxy = listener.proxy().is_some();
    let EgressListener { port, bind, capture_mode: _, hosts } = listener;
    let unix = bind.starts_with("unix://");
    if let Some(port) = port
        && !unix
    {
        check.port(format_args!("{at}.port.number"), port.number);
    }
    if !is_proxy {
        check.report(
            code::NOT_HONOURED,
            Severity::Warning,
            format_args!("{at}.port"),
            "a gateway has no clients to capture: only listeners of protocol HTTP_PROXY and HTTPS_PROXY are served",
        );
    }
    if port.is_none() && !bind.is_empty() {
        check.error(format_args!("{at}.bind"), "a bind address needs a port");
    }
    if !bind.is_empty() && !unix && !host::is_ip(bind) {
        check.error(format_args!("{at}.bind"), format!("`{bind}` is neither an IP address nor unix:///path"));
    }
    if hosts.is_empty() {
        check.error(format_args!("{at}.hosts"), "an egress listener needs at least one host");
    }
    for (index, name) in hosts.iter().enumerate() {
        let field = format!("{at}.hosts[{index}]");
        match name.split_once('/') {
            None => check.error(field, format!("`{name}` must have the form namespace/name")),
            Some((namespace, name)) => {
                if !matches!(namespace, "*" | "." | "~") && !host::is_lower_label(namespace) {
                    check.error(&field, format!("`{namespace}` is no namespace"));
                }
                check.expect(&field, host::check_wildcard(name));
            }
        }
    }
}

pub(super) fn check_peer_authentication(resource: &Resource<PeerAuthentication>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let PeerAuthentication { selector, mtls: _, port_level_mtls } = check.spec();
    let selects = selector.as_ref().is_some_and(|it| !it.match_labels.is_empty());
    if !port_level_mtls.is_empty() && !selects {
        check.error("spec.portLevelMtls", "port level settings need a selector");
    }
    for port in port_level_mtls.keys() {
        check.port(format_args!("spec.portLevelMtls[\"{port}\"]"), port.parse().unwrap_or_default());
    }
    if let Some(selector) = selector {
        check.labels(&"spec.selector.matchLabels", &selector.match_labels);
    }
}
