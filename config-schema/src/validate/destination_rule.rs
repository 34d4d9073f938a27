//! Rules of a DestinationRule: its subsets, connection pools, outlier detection and TLS.

use std::collections::HashSet;

use super::check::Check;
use super::load_balancer;
use crate::document::Resource;
use crate::istio::destination_rule::{
    ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, H2UpgradePolicy, HttpSettings, OutlierDetection,
    PortTrafficPolicy, TcpSettings, TrafficPolicy, Tunnel,
};
use crate::problem::{Problems, Severity, code};
use crate::value::host;

type Checked<'a, 'b> = &'a mut Check<'b, DestinationRule>;

pub(super) fn check(resource: &Resource<DestinationRule>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let DestinationRule { host, traffic_policy, subsets, export_to, workload_selector } = check.spec();
    if host.is_empty() {
        check.error("spec.host", "a destination rule needs a host");
    } else if !host::is_ip(host) {
        check.expect("spec.host", host::check_wildcard(host));
    }
    if let Some(policy) = traffic_policy {
        self::traffic_policy(&mut check, "spec.trafficPolicy", policy, true);
    }
    let mut names = HashSet::new();
    for (index, subset) in subsets.iter().enumerate() {
        let at = format!("spec.subsets[{index}]");
        if !host::is_label(&subset.name) {
            check.error(format_args!("{at}.name"), format!("`{}` is no subset name", subset.name));
        }
        if !names.insert(&subset.name) {
            check.error(format_args!("{at}.name"), format!("the subset `{}` is declared twice", subset.name));
        }
        check.labels(&format_args!("{at}.labels"), &subset.labels);
        if let Some(policy) = &subset.traffic_policy {
            traffic_policy_of_subset(&mut check, &at, policy);
        }
    }
    check.export_to(export_to);
    if let Some(selector) = workload_selector {
        check.labels(&"spec.workloadSelector.labels", &selector.labels);
    }
}

fn traffic_policy_of_subset(check: Checked<'_, '_>, at: &str, policy: &TrafficPolicy) {
    traffic_policy(check, &format!("{at}.trafficPolicy"), policy, false);
}

fn traffic_policy(check: Checked<'_, '_>, at: &str, policy: &TrafficPolicy, top_level: bool) {
    if *policy == TrafficPolicy::default() {
        check.error(at, "a traffic policy must have at least one field");
    }
    let TrafficPolicy {
        load_balancer,
        connection_pool,
        outlier_detection,
        tls,
        port_level_settings,
        tunnel,
        proxy_protocol,
        retry_budget,
    } = policy;
    if let Some(it) = load_balancer {
        load_balancer::check(check, &format!("{at}.loadBalancer"), it);
    }
    if let Some(it) = connection_pool {
        self::connection_pool(check, &format!("{at}.connectionPool"), it);
    }
    if let Some(it) = outlier_detection {
        outlier(check, &format!("{at}.outlierDetection"), it);
    }
    if let Some(it) = tls {
        self::tls(check, &format!("{at}.tls"), it, None);
    }
    ports(check, at, port_level_settings, top_level);
    if let Some(it) = tunnel {
        self::tunnel(check, &format!("{at}.tunnel"), it);
        if proxy_protocol.is_some() {
            check.error(at, "tunnel and proxyProtocol exclude each other");
        }
    }
    if let Some(budget) = retry_budget {
        check.percent(format_args!("{at}.retryBudget.percent"), budget.percent.unwrap_or_default());
    }
}

fn ports(check: Checked<'_, '_>, at: &str, settings: &[PortTrafficPolicy], top_level: bool) {
    let mut ports = HashSet::new();
    for (index, settings) in settings.iter().enumerate() {
        let at = format!("{at}.portLevelSettings[{index}]");
        let Some(port) = &settings.port else {
            check.error(format_args!("{at}.port"), "port level settings need a port");
            continue;
        };
        check.port(format_args!("{at}.port.number"), port.number);
        if !ports.insert(port.number) {
            check.error(format_args!("{at}.port"), format!("port {} is set twice", port.number));
        }
        if let Some(it) = &settings.load_balancer {
            load_balancer::check(check, &format!("{at}.loadBalancer"), it);
        }
        if let Some(it) = &settings.connection_pool {
            self::connection_pool(check, &format!("{at}.connectionPool"), it);
        }
        if let Some(it) = &settings.outlier_detection {
            outlier(check, &format!("{at}.outlierDetection"), it);
        }
        if let Some(it) = &settings.tls {
            self::tls(check, &format!("{at}.tls"), it, top_level.then_some(port.number));
        }
    }
}

fn connection_pool(check: Checked<'_, '_>, at: &str, pool: &ConnectionPool) {
    let ConnectionPool { tcp, http } = pool;
    if tcp.is_none() && http.is_none() {
        check.error(at, "a connection pool must have tcp or http");
    }
    if let Some(TcpSettings {
        max_connections,
        connect_timeout,
        tcp_keepalive: _,
        max_connection_duration,
        idle_timeout: _,
    }) = tcp
    {
        check.not_negative(format_args!("{at}.tcp.maxConnections"), *max_connections);
        check.at_least_1ms(format_args!("{at}.tcp.connectTimeout"), *connect_timeout);
        check.at_least_1ms(format_args!("{at}.tcp.maxConnectionDuration"), *max_connection_duration);
    }
    let Some(http) = http else { return };
    let HttpSettings {
        http1_max_pending_requests,
        http2_max_requests,
        max_requests_per_connection,
        max_retries,
        idle_timeout,
        h2_upgrade_policy,
        use_client_protocol,
        max_concurrent_streams,
        http2_keep_alive: _,
    } = http;
    for (name, value) in [
        ("http1MaxPendingRequests", http1_max_pending_requests),
        ("http2MaxRequests", http2_max_requests),
        ("maxRequestsPerConnection", max_requests_per_connection),
        ("maxRetries", max_retries),
        ("maxConcurrentStreams", max_concurrent_streams),
    ] {
        check.not_negative(format_args!("{at}.http.{name}"), *value);
    }
    check.at_least_1ms(format_args!("{at}.http.idleTimeout"), idle_timeout.filter(|it| !it.0.is_zero()));
    if *use_client_protocol && *h2_upgrade_policy == Some(H2UpgradePolicy::Upgrade) {
        check.error(format_args!("{at}.http"), "useClientProtocol and h2UpgradePolicy UPGRADE exclude each other");
    }
}

fn outlier(check: Checked<'_, '_>, at: &str, outlier: &OutlierDetection) {
    check.at_least_1ms(format_args!("{at}.interval"), outlier.interval);
    check.at_least_1ms(format_args!("{at}.baseEjectionTime"), outlier.base_ejection_time);
    for (name, value) in
        [("maxEjectionPercent", outlier.max_ejection_percent), ("minHealthPercent", outlier.min_health_percent)]
    {
        check.percent(format_args!("{at}.{name}"), f64::from(value));
    }
    let local = outlier.consecutive_local_origin_failures.unwrap_or_default();
    if local > 0 && !outlier.split_external_local_origin_errors {
        let message = "consecutiveLocalOriginFailures needs splitExternalLocalOriginErrors";
        check.error(format_args!("{at}.consecutiveLocalOriginFailures"), message);
    }
    for (index, status) in outlier.outlier_detection_http_error_codes.iter().enumerate() {
        if !(100..=599).contains(status) {
            check.error(format_args!("{at}.outlierDetectionHttpErrorCodes[{index}]"), format!("{status} is no status"));
        }
    }
}

fn tls(check: Checked<'_, '_>, at: &str, tls: &ClientTls, port: Option<u32>) {
    let mode = tls.mode.unwrap_or(ClientTlsMode::Disable);
    let files = !tls.client_certificate.is_empty() || !tls.private_key.is_empty();
    let by_secret = !tls.credential_name.is_empty();
    if tls.insecure_skip_verify == Some(true)
        && (!tls.ca_certificates.is_empty()
            || !tls.subject_alt_names.is_empty()
            || (by_secret && mode == ClientTlsMode::Simple))
    {
        check.error(at, "insecureSkipVerify contradicts caCertificates, credentialName and subjectAltNames");
    }
    match mode {
        ClientTlsMode::Disable => {}
        ClientTlsMode::Simple => {
            if by_secret && !tls.ca_certificates.is_empty() {
                check.error(at, "credentialName and caCertificates exclude each other");
            }
        }
        ClientTlsMode::Mutual => {
            if by_secret && (files || !tls.ca_certificates.is_empty()) {
                check.error(at, "credentialName and file paths exclude each other");
            }
            if !by_secret && (tls.client_certificate.is_empty() || tls.private_key.is_empty()) {
                check.error(at, "MUTUAL needs clientCertificate and privateKey, or credentialName");
            }
        }
        ClientTlsMode::IstioMutual => {
            if files || by_secret || !tls.ca_certificates.is_empty() {
                check.error(at, "ISTIO_MUTUAL takes the mesh's certificates");
            }
        }
    }
    let verifies = !tls.ca_certificates.is_empty() || by_secret || tls.insecure_skip_verify == Some(true);
    if matches!(mode, ClientTlsMode::Simple | ClientTlsMode::Mutual) && !verifies {
        let host = check.spec().host.clone();
        let (code, place) = match port {
            None => (code::NO_SERVER_VERIFICATION, String::new()),
            Some(port) => (code::NO_SERVER_VERIFICATION_PORT, format!(" at port {port}")),
        };
        let message = format!("no caCertificates for {host}{place}: the system's authorities are trusted");
        check.report(code, Severity::Warning, at, message);
    }
}

fn tunnel(check: Checked<'_, '_>, at: &str, tunnel: &Tunnel) {
    let Tunnel { protocol, target_host, target_port } = tunnel;
    if !matches!(protocol.as_str(), "" | "CONNECT" | "POST") {
        check.error(format_args!("{at}.protocol"), format!("`{protocol}` is neither CONNECT nor POST"));
    }
    if !host::is_ip(target_host) {
        check.expect(format_args!("{at}.targetHost"), host::check_fqdn(target_host));
    }
    check.port(format_args!("{at}.targetPort"), *target_port);
}
