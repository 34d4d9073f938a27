//! Rules of GatewaySettings: one of them, with addresses and ports that parse.

use std::net::{IpAddr, SocketAddr};

use super::check::Check;
use super::extension_provider;
use crate::document::Resource;
use crate::istio::mesh_config::MeshConfig;
use crate::native::egress_settings::EgressSettings;
use crate::native::settings::{
    GatewaySettings, JwksSettings, Limits, MAX_RETRY_BUFFER, ProxyProtocolSettings, RedisMode, RedisSettings, RedisTls,
};
use crate::problem::{Problems, Severity, code};
use crate::value::{Cidr, host, substitution};

/// More workers than this are a slip of the hand.
const MAX_WORKERS: u32 = 1024;

pub(super) fn check(settings: &[Resource<GatewaySettings>], problems: &mut Problems) {
    for (index, resource) in settings.iter().enumerate() {
        let mut check = Check::new(resource, problems);
        if index > 0 {
            check.report(
                code::DUPLICATE_RESOURCE,
                Severity::Error,
                "metadata.name",
                "there can be only one GatewaySettings",
            );
        }
        check_one(&mut check);
    }
}

fn check_one(check: &mut Check<'_, GatewaySettings>) {
    let settings = check.spec();
    let GatewaySettings {
        node,
        bind_address,
        port_map,
        admin,
        health,
        mesh_config,
        redis,
        secrets: _,
        mesh_certificates: _,
        proxy_protocol,
        cors_before_authentication: _,
        jwks,
        egress,
        workers,
        dns,
        limits,
    } = settings;
    if !host::is_lower_label(&node.namespace) {
        check.error("spec.node.namespace", format!("`{}` is no namespace", node.namespace));
    }
    check.labels(&"spec.node.labels", &node.labels);
    check.expect("spec.node.clusterDomain", host::check_fqdn(&node.cluster_domain));
    if bind_address.parse::<IpAddr>().is_err() {
        check.error("spec.bindAddress", format!("`{bind_address}` is no IP address"));
    }
    for port in port_map.keys() {
        check.port(format_args!("spec.portMap[\"{port}\"]"), port.parse().unwrap_or_default());
    }
    for (field, address) in [("spec.admin.address", &admin.address), ("spec.health.address", &health.address)] {
        if address.parse::<SocketAddr>().is_err() {
            check.error(field, format!("`{address}` is no address with port, such as 127.0.0.1:15000"));
        }
    }
    dns_servers(check, &dns.servers);
    if let Some(it) = redis {
        self::redis(check, it);
    }
    if *workers > MAX_WORKERS {
        check.error("spec.workers", format!("at most {MAX_WORKERS} workers"));
    }
    if let Some(ProxyProtocolSettings { trusted_sources }) = proxy_protocol {
        self::trusted_sources(check, trusted_sources);
    }
    fetching(check, jwks);
    self::egress(check, egress);
    bounds(check, limits);
    mesh(check, mesh_config);
}

fn dns_servers(check: &mut Check<'_, GatewaySettings>, servers: &[String]) {
    for (index, server) in servers.iter().enumerate() {
        if server.parse::<SocketAddr>().is_err() {
            check.error(
                format_args!("spec.dns.servers[{index}]"),
                format!("`{server}` is no address with port, such as 10.0.0.10:53"),
            );
        }
    }
}

fn trusted_sources(check: &mut Check<'_, GatewaySettings>, sources: &[String]) {
    for (index, source) in sources.iter().enumerate() {
        check.expect(format_args!("spec.proxyProtocol.trustedSources[{index}]"), source.parse::<Cidr>().map(|_| ()));
    }
    if sources.is_empty() {
        check.error("spec.proxyProtocol.trustedSources", "nobody is trusted, so no PROXY header would be read");
    }
}

fn fetching(check: &mut Check<'_, GatewaySettings>, settings: &JwksSettings) {
    let JwksSettings { max_age, ca_certificates: _, proxy, allowed_addresses } = settings;
    check.at_least_1ms("spec.jwks.maxAge", *max_age);
    let is_place = proxy.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !proxy.is_empty() && !is_place {
        check.error("spec.jwks.proxy", format!("`{proxy}` is no `host:port`"));
    }
    for (index, network) in allowed_addresses.iter().enumerate() {
        check.expect(format_args!("spec.jwks.allowedAddresses[{index}]"), network.parse::<Cidr>().map(|_| ()));
    }
}

fn egress(check: &mut Check<'_, GatewaySettings>, it: &EgressSettings) {
    let EgressSettings {
        allowed_addresses,
        tls_in_tunnel: _,
        keep_via: _,
        idle_timeout,
        max_duration,
        connect_timeout,
        revocation_grace,
    } = it;
    for (index, network) in allowed_addresses.iter().enumerate() {
        check.expect(format_args!("spec.egress.allowedAddresses[{index}]"), network.parse::<Cidr>().map(|_| ()));
    }
    check.at_least_1ms("spec.egress.idleTimeout", *idle_timeout);
    check.at_least_1ms("spec.egress.maxDuration", *max_duration);
    check.at_least_1ms("spec.egress.connectTimeout", *connect_timeout);
    check.at_least_1ms("spec.egress.revocationGrace", *revocation_grace);
}

fn redis(check: &mut Check<'_, GatewaySettings>, it: &RedisSettings) {
    let RedisSettings {
        url,
        nodes,
        mode,
        master_name,
        username: _,
        password_file: _,
        sentinel_username: _,
        sentinel_password_file: _,
        tls,
        timeout,
        key_prefix,
    } = it;
    let is_url =
        |it: &str| ["redis://", "rediss://", "unix://", "redis+unix://"].iter().any(|scheme| it.starts_with(scheme));
    if !is_url(url) {
        check.error("spec.redis.url", "a Redis URL begins with redis://, rediss:// or unix://");
    }
    for (index, _) in nodes.iter().enumerate().filter(|(_, it)| !is_url(it)) {
        check.error(format_args!("spec.redis.nodes[{index}]"), "a Redis URL begins with redis:// or rediss://");
    }
    match mode {
        None | Some(RedisMode::Single) if !nodes.is_empty() => {
            check.error("spec.redis.nodes", "several nodes are for `mode: Sentinel` or `mode: Cluster`");
        }
        Some(RedisMode::Sentinel) if master_name.is_empty() => {
            check.error("spec.redis.masterName", "sentinels are asked for a master by name");
        }
        None | Some(RedisMode::Single | RedisMode::Sentinel | RedisMode::Cluster) => {}
    }
    if let Some(RedisTls { ca_certificates: _, client_certificate, private_key, insecure_skip_verify }) = tls {
        if client_certificate.is_empty() != private_key.is_empty() {
            check.error("spec.redis.tls", "clientCertificate and privateKey belong together");
        }
        if *insecure_skip_verify {
            check.warn("spec.redis.tls.insecureSkipVerify", "anybody on the way can read and change the counts");
        }
    }
    check.at_least_1ms("spec.redis.timeout", *timeout);
    if key_prefix.len() > 64 || !key_prefix.bytes().all(|it| it.is_ascii_graphic() && !matches!(it, b'{' | b'}')) {
        check.error("spec.redis.keyPrefix", "a prefix has at most 64 visible ASCII characters, and no braces");
    }
}

fn bounds(check: &mut Check<'_, GatewaySettings>, limits: &Limits) {
    let Limits { max_connections: _, max_connections_per_client: _, head_timeout, idle_timeout, retry_buffer_bytes } =
        limits;
    check.at_least_1ms("spec.limits.headTimeout", *head_timeout);
    check.at_least_1ms("spec.limits.idleTimeout", *idle_timeout);
    if retry_buffer_bytes.is_some_and(|it| it > MAX_RETRY_BUFFER) {
        check.error("spec.limits.retryBufferBytes", format!("at most {MAX_RETRY_BUFFER} bytes are kept for retries"));
    }
}

fn mesh(check: &mut Check<'_, GatewaySettings>, mesh: &MeshConfig) {
    check.expect("spec.meshConfig.accessLogFormat", substitution::parse(&mesh.access_log_format).map(|_| ()));
    check.at_least_1ms("spec.meshConfig.connectTimeout", mesh.connect_timeout);
    check.at_least_1ms("spec.meshConfig.dnsRefreshRate", mesh.dns_refresh_rate);
    extension_provider::check(check, &mesh.extension_providers);
}
