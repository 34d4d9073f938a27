//! Lowers the traffic policy that applies to one port of one subset.
//!
//! Istio's merge: the settings of a port replace balancing, pool, detection and TLS of the
//! rule as a whole, so a block that they leave out is unset; a subset then replaces block by
//! block, in the same way.

use std::time::Duration;

use config_schema::Resource;
use config_schema::istio::destination_rule::{
    ClientTls, ConnectionPool, DestinationRule, H2KeepAlive, H2UpgradePolicy, HttpSettings, OutlierDetection,
    PortTrafficPolicy, ProxyProtocol, ProxyProtocolVersion, RetryBudget, Subset, TcpKeepalive, TcpSettings,
    TrafficPolicy, Tunnel as WrittenTunnel,
};
use config_schema::istio::load_balancer::LoadBalancer;
use config_schema::istio::mesh_config::MeshConfig;

use super::registry::Port;
use crate::l4::tunnel::{Method, Tunnel};
use crate::upstream::definition::{Keepalive, Pool, Protocol, ProxyHeader};
use crate::upstream::limits::{Limits, RetryLimit};
use crate::upstream::outlier::Detection;

/// Bound on connecting when nobody says (Istio's default).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept when nobody says (Envoy's default).
const IDLE: Duration = Duration::from_secs(3600);
/// Most streams of one HTTP/2 connection when nobody says.
const MAX_STREAMS: u32 = 100;
/// What Linux does when a rule turns probes on and says no more.
const PROBES: Keepalive = Keepalive { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), probes: 9 };

/// The blocks that apply.
#[derive(Default)]
pub(super) struct Blocks<'a> {
    pub(super) load_balancer: Option<&'a LoadBalancer>,
    connection_pool: Option<&'a ConnectionPool>,
    outlier_detection: Option<&'a OutlierDetection>,
    pub(super) tls: Option<&'a ClientTls>,
    tunnel: Option<&'a WrittenTunnel>,
    proxy_protocol: Option<&'a ProxyProtocol>,
    retry_budget: Option<&'a RetryBudget>,
}

impl<'a> Blocks<'a> {
    /// Those of the first rule that has a policy, changed by the subset's, over what the mesh says of pools and failures.
    pub(super) fn of(
        rules: &[&'a Resource<DestinationRule>],
        subset: Option<&'a Subset>,
        port: u16,
        mesh: Option<&'a TrafficPolicy>,
    ) -> Self {
        let base = rules.iter().find_map(|it| it.spec.traffic_policy.as_ref());
        let base = base.map(|it| Self::at(it, port)).unwrap_or_default();
        let own = subset.and_then(|it| it.traffic_policy.as_ref());
        let written = own.map(|it| Self::at(it, port)).unwrap_or_default().over(base);
        written.over(Self {
            connection_pool: mesh.and_then(|it| it.connection_pool.as_ref()),
            outlier_detection: mesh.and_then(|it| it.outlier_detection.as_ref()),
            ..Self::default()
        })
    }

    fn at(policy: &'a TrafficPolicy, port: u16) -> Self {
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
        let whole = Self {
            load_balancer: load_balancer.as_ref(),
            connection_pool: connection_pool.as_ref(),
            outlier_detection: outlier_detection.as_ref(),
            tls: tls.as_ref(),
            tunnel: tunnel.as_ref(),
            proxy_protocol: proxy_protocol.as_ref(),
            retry_budget: retry_budget.as_ref(),
        };
        let of_port = |it: &&PortTrafficPolicy| it.port.as_ref().is_some_and(|it| it.number == u32::from(port));
        match port_level_settings.iter().find(of_port) {
            None => whole,
            Some(PortTrafficPolicy { port: _, load_balancer, connection_pool, outlier_detection, tls }) => Self {
                load_balancer: load_balancer.as_ref(),
                connection_pool: connection_pool.as_ref(),
                outlier_detection: outlier_detection.as_ref(),
                tls: tls.as_ref(),
                ..whole
            },
        }
    }

    fn over(self, base: Self) -> Self {
        Self {
            load_balancer: self.load_balancer.or(base.load_balancer),
            connection_pool: self.connection_pool.or(base.connection_pool),
            outlier_detection: self.outlier_detection.or(base.outlier_detection),
            tls: self.tls.or(base.tls),
            tunnel: self.tunnel.or(base.tunnel),
            proxy_protocol: self.proxy_protocol.or(base.proxy_protocol),
            retry_budget: self.retry_budget.or(base.retry_budget),
        }
    }

    fn tcp(&self) -> Option<&'a TcpSettings> {
        self.connection_pool?.tcp.as_ref()
    }

    fn http(&self) -> Option<&'a HttpSettings> {
        self.connection_pool?.http.as_ref()
    }

    /// Which connections are made and kept.
    pub(super) fn pool(&self, mesh: &MeshConfig) -> Pool {
        let tcp = self.tcp();
        let http = self.http();
        let idle = http.and_then(|it| it.idle_timeout).or(tcp.and_then(|it| it.idle_timeout));
        let keepalive = tcp.and_then(|it| it.tcp_keepalive.as_ref()).or(mesh.tcp_keepalive.as_ref());
        let ping = http.and_then(|it| it.http2_keep_alive.as_ref());
        Pool {
            connect_timeout: tcp
                .and_then(|it| it.connect_timeout)
                .or(mesh.connect_timeout)
                .map_or(CONNECT_TIMEOUT, |it| it.0),
            idle: Some(idle.map_or(IDLE, |it| it.0)).filter(|it| !it.is_zero()),
            max_requests: http.map_or(0, |it| positive(it.max_requests_per_connection).unwrap_or(0)),
            max_age: tcp.and_then(|it| it.max_connection_duration).map(|it| it.0),
            keepalive: keepalive.map(probes),
            max_streams: http.and_then(|it| positive(it.max_concurrent_streams)).unwrap_or(MAX_STREAMS),
            ping: ping.and_then(|H2KeepAlive { interval, timeout: _ }| Some(interval.as_ref()?.0)),
        }
    }

    /// Bounds on what is asked at once.
    pub(super) fn limits(&self) -> Limits {
        let (tcp, http) = (self.tcp(), self.http());
        let bound = |value: Option<i32>| value.and_then(positive).unwrap_or(u32::MAX);
        let retries = match (self.retry_budget, http.and_then(|it| positive(it.max_retries))) {
            (Some(RetryBudget { percent, min_retry_concurrency, budget_interval }), _) => RetryLimit::Budget {
                share: parts(percent.unwrap_or(20.0), 100.0),
                least: if *min_retry_concurrency == 0 { 3 } else { *min_retry_concurrency },
                lookback: budget_interval.map_or(Duration::ZERO, |it| it.0),
            },
            (None, Some(fixed)) => RetryLimit::Fixed(fixed),
            (None, None) => RetryLimit::default(),
        };
        Limits {
            requests: bound(http.map(|it| it.http2_max_requests)),
            pending: bound(http.map(|it| it.http1_max_pending_requests)),
            connections: bound(tcp.map(|it| it.max_connections)),
            retries,
        }
    }

    /// When endpoints are left out.
    pub(super) fn detection(&self) -> Option<Detection> {
        let OutlierDetection {
            consecutive_errors: _,
            split_external_local_origin_errors,
            consecutive_local_origin_failures,
            consecutive_gateway_errors,
            consecutive_5xx_errors,
            interval,
            base_ejection_time,
            max_ejection_percent,
            min_health_percent,
            outlier_detection_http_error_codes,
        } = self.outlier_detection?;
        let percent = |value: i32| u8::try_from(value.clamp(0, 100)).unwrap_or(100);
        Some(Detection {
            consecutive_5xx: consecutive_5xx_errors.unwrap_or(5),
            consecutive_gateway: consecutive_gateway_errors.unwrap_or(0),
            consecutive_local: consecutive_local_origin_failures.unwrap_or(5),
            splits_local: *split_external_local_origin_errors,
            error_codes: outlier_detection_http_error_codes.iter().filter_map(|it| u16::try_from(*it).ok()).collect(),
            interval: interval.map_or(Duration::from_secs(10), |it| it.0),
            base_ejection: base_ejection_time.map_or(Duration::from_secs(30), |it| it.0),
            max_ejection_percent: if *max_ejection_percent == 0 { 10 } else { percent(*max_ejection_percent) },
            min_health_percent: percent(*min_health_percent),
        })
    }

    /// Version of HTTP for a port.
    pub(super) fn protocol(&self, port: &Port, mesh: Option<H2UpgradePolicy>) -> Protocol {
        let http = self.http();
        if http.is_some_and(|it| it.use_client_protocol) {
            return Protocol::Client;
        }
        let upgrade = match http.and_then(|it| it.h2_upgrade_policy).unwrap_or(H2UpgradePolicy::Default) {
            H2UpgradePolicy::Default => mesh == Some(H2UpgradePolicy::Upgrade),
            H2UpgradePolicy::Upgrade => true,
            H2UpgradePolicy::DoNotUpgrade => false,
        };
        match port.protocol.as_str() {
            "HTTP2" | "GRPC" | "GRPC-WEB" => Protocol::Http2,
            _ if upgrade => Protocol::Http2,
            _ => Protocol::Http1,
        }
    }

    /// PROXY header that opens a connection.
    pub(super) fn proxy_header(&self) -> Option<ProxyHeader> {
        let ProxyProtocol { version } = self.proxy_protocol?;
        Some(match version.unwrap_or(ProxyProtocolVersion::V1) {
            ProxyProtocolVersion::V1 => ProxyHeader::V1,
            ProxyProtocolVersion::V2 => ProxyHeader::V2,
        })
    }

    /// Who carries TCP connections on.
    pub(super) fn tunnel(&self) -> Option<Tunnel> {
        let WrittenTunnel { protocol, target_host, target_port } = self.tunnel?;
        let method = if protocol.eq_ignore_ascii_case("POST") { Method::Post } else { Method::Connect };
        Some(Tunnel { method, target: format!("{target_host}:{target_port}").into() })
    }
}

/// A bound that is given; 0 and less are none.
fn positive(value: i32) -> Option<u32> {
    u32::try_from(value).ok().filter(|it| *it > 0)
}

/// A number in parts of `unit`.
pub(super) fn parts(value: f64, unit: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let parts = (value * unit).clamp(0.0, f64::from(u32::MAX)) as u32;
    parts
}

fn probes(written: &TcpKeepalive) -> Keepalive {
    let TcpKeepalive { probes, time, interval } = written;
    Keepalive {
        idle: time.map_or(PROBES.idle, |it| it.0),
        interval: interval.map_or(PROBES.interval, |it| it.0),
        probes: if *probes == 0 { PROBES.probes } else { *probes },
    }
}
