//! Lowers a HealthCheck: the probe, and its times and thresholds with their defaults.

use std::time::Duration;

use config_schema::native::health_check::{GrpcProbe, HealthCheck, HttpProbe, StatusRange, TcpProbe};

use crate::upstream::health::{Check, Probe};

/// Time between two probes when nobody says.
const INTERVAL: Duration = Duration::from_secs(10);
/// Bound on one probe when nobody says.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Probes passed in a row until an endpoint is used again.
const HEALTHY: u32 = 2;
/// Probes failed in a row until an endpoint is left out.
const UNHEALTHY: u32 = 3;

/// The check of the endpoints of `name`.
pub(super) fn lower(check: &HealthCheck, name: &str) -> Check {
    let HealthCheck { host: _, port: _, http, grpc, tcp, interval, timeout, healthy_threshold, unhealthy_threshold } =
        check;
    let probe = match (http, grpc, tcp) {
        (Some(HttpProbe { path, host, expected_statuses }), _, _) => {
            let range = |it: &StatusRange| (it.from, it.to.unwrap_or(it.from));
            let given: Box<[_]> = expected_statuses.iter().map(range).collect();
            Probe::Http {
                path: if path.is_empty() { "/" } else { path }.into(),
                host: if host.is_empty() { name } else { host }.into(),
                statuses: if given.is_empty() { Box::new([(200, 299)]) } else { given },
            }
        }
        (None, Some(GrpcProbe { service }), _) => Probe::Grpc { service: service.as_str().into() },
        (None, None, Some(TcpProbe {}) | None) => Probe::Tcp,
    };
    Check {
        probe,
        interval: interval.map_or(INTERVAL, |it| it.0),
        timeout: timeout.map_or(TIMEOUT, |it| it.0),
        healthy: healthy_threshold.unwrap_or(HEALTHY),
        unhealthy: unhealthy_threshold.unwrap_or(UNHEALTHY),
    }
}
