//! Rules of EgressPolicy and EgressCredential.

use super::check::{Check, is_header_name};
use super::server_tls;
use crate::document::Resource;
use crate::istio::gateway::TlsMode;
use crate::native::egress_credential::EgressCredential;
use crate::native::egress_policy::{EgressPolicy, Interception, TunnelBounds};
use crate::problem::Problems;
use crate::value::host;

pub(super) fn policy(resource: &Resource<EgressPolicy>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let EgressPolicy { selector, ports, mode: _, tunnels, tls, interception } = check.spec();
    check.target(selector.as_ref(), None, &[]);
    for (index, port) in ports.iter().enumerate() {
        check.port(format_args!("spec.ports[{index}]"), *port);
    }
    let TunnelBounds { per_client: _, per_host: _, max_bytes: _, max_duration, idle_timeout, tls_in_tunnel: _ } =
        tunnels;
    check.at_least_1ms("spec.tunnels.maxDuration", *max_duration);
    check.at_least_1ms("spec.tunnels.idleTimeout", *idle_timeout);
    if let Some(it) = interception {
        check_interception(&mut check, it);
    }
    let Some(tls) = tls else { return };
    server_tls::check(&mut check, "spec.tls", tls);
    match tls.mode {
        Some(TlsMode::Simple | TlsMode::Mutual | TlsMode::OptionalMutual | TlsMode::IstioMutual) => {}
        Some(TlsMode::Passthrough | TlsMode::AutoPassthrough) | None => {
            check.error("spec.tls.mode", "a proxy ends TLS itself: SIMPLE, MUTUAL, OPTIONAL_MUTUAL or ISTIO_MUTUAL");
        }
    }
    if tls.https_redirect {
        check.error("spec.tls.httpsRedirect", "a proxy redirects nobody");
    }
}

fn check_interception(check: &mut Check<'_, EgressPolicy>, interception: &Interception) {
    let Interception { hosts, credential_name } = interception;
    if hosts.is_empty() {
        check.error("spec.interception.hosts", "TLS ends here for hosts; name them, or `*` for all");
    }
    for (index, name) in hosts.iter().enumerate().filter(|(_, it)| *it != "*") {
        check_host(check, &format!("spec.interception.hosts[{index}]"), name);
    }
    if credential_name.is_empty() {
        let message = "an authority signs what clients are shown; name the Secret or folder that holds it";
        check.error("spec.interception.credentialName", message);
    }
}

pub(super) fn credential(resource: &Resource<EgressCredential>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let EgressCredential { selector, hosts, header, prefix, credential_name, key: _ } = check.spec();
    check.target(selector.as_ref(), None, &[]);
    if hosts.is_empty() {
        check.error("spec.hosts", "a credential is for hosts; name them");
    }
    for (index, name) in hosts.iter().enumerate() {
        let field = format!("spec.hosts[{index}]");
        if name == "*" {
            check.error(&field, "a secret is not for everybody; name the hosts");
        } else {
            check_host(&mut check, &field, name);
        }
    }
    if !header.is_empty() && !is_header_name(header) {
        check.error("spec.header", format!("`{header}` is no header name"));
    }
    if !prefix.bytes().all(|it| (0x20..0x7f).contains(&it)) {
        check.error("spec.prefix", "a header value is printable ASCII");
    }
    if credential_name.is_empty() {
        check.error("spec.credentialName", "the secret is in a Secret or folder; name it");
    }
}

/// A name, or a wildcard that holds no host of others.
fn check_host<T>(check: &mut Check<'_, T>, field: &str, name: &str) {
    if name.starts_with('*') && !name.starts_with("*.") {
        let whole = name.trim_start_matches('*');
        check.error(field, format!("`{name}` would be the host of others too (evil{whole}); write *.{whole}"));
    } else {
        check.expect(field, host::check_wildcard(name));
    }
}
