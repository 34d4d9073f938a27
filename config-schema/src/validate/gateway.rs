//! Rules of a Gateway: its ports, hosts and TLS.

use std::collections::HashSet;

use super::check::{Check, PROTOCOLS};
use super::server_tls;
use crate::document::Resource;
use crate::istio::gateway::{Gateway, Port, Server, ServerTls};
use crate::problem::{Problems, Severity, code};
use crate::value::host;

pub(super) fn check(resource: &Resource<Gateway>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let Gateway { servers, selector } = check.spec();
    if servers.is_empty() {
        check.error("spec.servers", "a gateway needs at least one server");
    }
    check.labels(&"spec.selector", selector);
    let mut ports = HashSet::new();
    let mut names = HashSet::new();
    for (index, server) in servers.iter().enumerate() {
        let at = format!("spec.servers[{index}]");
        self::server(&mut check, &at, server);
        let port = server.port.as_ref().map(|it| it.name.as_str()).unwrap_or_default();
        if !port.is_empty() && !ports.insert(port) {
            check.error(format_args!("{at}.port.name"), format!("port names must be unique; `{port}` is used twice"));
        }
        if !server.name.is_empty() && !names.insert(&server.name) {
            check.error(
                format_args!("{at}.name"),
                format!("server names must be unique; `{}` is used twice", server.name),
            );
        }
    }
}

fn server(check: &mut Check<'_, Gateway>, at: &str, server: &Server) {
    let Server { port, bind, hosts, tls, default_endpoint: _, name: _ } = server;
    let is_unix = bind.starts_with("unix://");
    if !bind.is_empty() && !is_unix && !host::is_ip(bind) {
        check.error(format_args!("{at}.bind"), format!("`{bind}` is neither an IP address nor unix:///path"));
    }
    if hosts.is_empty() {
        check.error(format_args!("{at}.hosts"), "a server needs at least one host");
    }
    for (index, host) in hosts.iter().enumerate() {
        check.expect(format_args!("{at}.hosts[{index}]"), server_host(host));
    }
    match port {
        None => check.error(format_args!("{at}.port"), "a server needs a port"),
        Some(port) => self::port(check, at, port, is_unix),
    }
    let protocol = port.as_ref().map(|it| it.protocol.to_ascii_uppercase()).unwrap_or_default();
    let secured = matches!(protocol.as_str(), "HTTPS" | "TLS");
    match tls {
        None if secured => {
            check.error(format_args!("{at}.tls"), format!("a server of protocol {protocol} must have TLS settings"))
        }
        None => {}
        Some(tls) => {
            if !secured && !only_redirects(tls) {
                check.error(
                    format_args!("{at}.tls"),
                    format!("a server of protocol {protocol} cannot have TLS settings"),
                );
            }
            if secured && tls.https_redirect {
                check.warn(format_args!("{at}.tls.httpsRedirect"), "httpsRedirect has no effect on a secured server");
            }
            if secured && tls.mode.is_none() && *tls != ServerTls::default() {
                let message = "tls.mode is unset, which means PASSTHROUGH";
                check.report(code::TLS_MODE_UNSET, Severity::Warning, format_args!("{at}.tls"), message);
            }
            server_tls::check(check, &format!("{at}.tls"), tls);
        }
    }
}

/// Whether nothing but `httpsRedirect` is set.
fn only_redirects(tls: &ServerTls) -> bool {
    *tls == ServerTls { https_redirect: tls.https_redirect, ..ServerTls::default() }
}

fn server_host(host: &str) -> Result<(), String> {
    let name = match host.split_once('/') {
        None => host,
        Some((namespace, name)) => {
            if !matches!(namespace, "*" | ".") && !host::is_lower_label(namespace) {
                return Err(format!("`{namespace}` is no namespace; it can also be `*` or `.`"));
            }
            name
        }
    };
    host::check_wildcard(name)?;
    if name != "*" && !name.contains('.') && !host::is_ip(name) {
        return Err(format!("short names (non FQDN) are not allowed: `{name}`"));
    }
    if name.starts_with('*') && name != "*" && !name.starts_with("*.") {
        return Err(format!("partial wildcard `{name}` not allowed; a wildcard stands for whole labels"));
    }
    Ok(())
}

fn port(check: &mut Check<'_, Gateway>, at: &str, port: &Port, is_unix: bool) {
    let Port { number, protocol, name, target_port: _ } = port;
    if name.is_empty() {
        check.error(format_args!("{at}.port.name"), "a port name must be set");
    }
    if !PROTOCOLS.iter().any(|it| it.eq_ignore_ascii_case(protocol)) {
        let message = format!("invalid protocol `{protocol}`; known are {}", PROTOCOLS.join(", "));
        check.error(format_args!("{at}.port.protocol"), message);
    }
    if is_unix {
        if *number != 0 {
            check.error(format_args!("{at}.port.number"), "the port number must be 0 for a unix domain socket");
        }
    } else {
        check.port(format_args!("{at}.port.number"), *number);
    }
}
