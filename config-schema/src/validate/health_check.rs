//! Rules of HealthCheck: one probe, a host, times and thresholds that mean something.

use super::check::Check;
use crate::document::Resource;
use crate::native::health_check::{GrpcProbe, HealthCheck, HttpProbe, TcpProbe};
use crate::problem::Problems;
use crate::value::host;

/// Shortest time between two probes, in milliseconds.
const MIN_INTERVAL: u128 = 100;

pub(super) fn check(resource: &Resource<HealthCheck>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let HealthCheck { host, port, http, grpc, tcp, interval, timeout, healthy_threshold, unhealthy_threshold } =
        check.spec();
    if host.is_empty() {
        check.error("spec.host", "a health check needs the host whose endpoints are probed");
    } else if host.contains('*') {
        check.error("spec.host", "a wildcard has no endpoints of its own; name the host");
    } else {
        check.expect("spec.host", host::check_wildcard(host));
    }
    if let Some(port) = port {
        check.port("spec.port", *port);
    }
    let probes = usize::from(http.is_some()) + usize::from(grpc.is_some()) + usize::from(tcp.is_some());
    if probes != 1 {
        check.error("spec", "exactly one of http, grpc and tcp is needed");
    }
    if let Some(HttpProbe { path, host: _, expected_statuses }) = http {
        if !path.is_empty() && (!path.starts_with('/') || !path.bytes().all(|it| it.is_ascii_graphic())) {
            check.error("spec.http.path", format!("`{path}` is no path"));
        }
        for (index, range) in expected_statuses.iter().enumerate() {
            let last = range.to.unwrap_or(range.from);
            if !(100..=599).contains(&range.from) || !(range.from..=599).contains(&last) {
                check.error(
                    format_args!("spec.http.expectedStatuses[{index}]"),
                    format!("{} to {last} are no statuses", range.from),
                );
            }
        }
    }
    match (grpc, tcp) {
        (Some(GrpcProbe { service: _ }) | None, Some(TcpProbe {}) | None) => {}
    }
    if interval.is_some_and(|it| it.0.as_millis() < MIN_INTERVAL) {
        check.error("spec.interval", format!("probes more often than every {MIN_INTERVAL}ms are load, not a check"));
    }
    check.at_least_1ms("spec.timeout", *timeout);
    for (name, value) in [("healthyThreshold", healthy_threshold), ("unhealthyThreshold", unhealthy_threshold)] {
        if *value == Some(0) {
            check.error(format_args!("spec.{name}"), "must be at least 1");
        }
    }
}
