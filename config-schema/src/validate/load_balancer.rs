//! Rules of load balancing: one hash key, shares that add up, failover that goes elsewhere.

use std::collections::HashSet;

use super::check::Check;
use crate::istio::destination_rule::DestinationRule;
use crate::istio::load_balancer::{ConsistentHash, LoadBalancer, LocalityLb, SimpleBalancer, Warmup};

/// Largest Maglev table of Envoy.
const MAX_TABLE: u64 = 5_000_011;

type Checked<'a, 'b> = &'a mut Check<'b, DestinationRule>;

pub(super) fn check(check: Checked<'_, '_>, at: &str, it: &LoadBalancer) {
    let LoadBalancer {
        simple,
        consistent_hash,
        locality_lb_setting,
        zone_aware_lb_setting,
        warmup_duration_secs,
        warmup,
    } = it;
    if simple.is_some() && consistent_hash.is_some() {
        check.error(at, "simple and consistentHash exclude each other");
    }
    if let Some(hash) = consistent_hash {
        self::consistent_hash(check, &format!("{at}.consistentHash"), hash);
    }
    if let Some(locality) = locality_lb_setting {
        self::locality(check, &format!("{at}.localityLbSetting"), locality);
    }
    if locality_lb_setting.is_some() && zone_aware_lb_setting.is_some() {
        check.error(at, "localityLbSetting and zoneAwareLbSetting exclude each other");
    }
    let warms = warmup.is_some() || warmup_duration_secs.is_some();
    let can_warm = matches!(
        simple,
        None | Some(
            SimpleBalancer::Unspecified
                | SimpleBalancer::RoundRobin
                | SimpleBalancer::LeastRequest
                | SimpleBalancer::LeastConn
        )
    );
    if warms && (!can_warm || consistent_hash.is_some()) {
        check.error(at, "warmup works only with ROUND_ROBIN and LEAST_REQUEST");
    }
    if let Some(Warmup { duration, minimum_percent, aggression }) = warmup {
        match duration {
            None => check.error(format_args!("{at}.warmup.duration"), "a warmup needs a duration"),
            Some(_) => check.at_least_1ms(format_args!("{at}.warmup.duration"), *duration),
        }
        check.percent(format_args!("{at}.warmup.minimumPercent"), minimum_percent.unwrap_or_default());
        if aggression.is_some_and(|it| it < 1.0) {
            check.error(format_args!("{at}.warmup.aggression"), "aggression must be at least 1");
        }
    }
}

fn consistent_hash(check: Checked<'_, '_>, at: &str, hash: &ConsistentHash) {
    let ConsistentHash {
        http_header_name,
        http_cookie,
        use_source_ip,
        http_query_parameter_name,
        ring_hash,
        maglev,
        minimum_ring_size: _,
    } = hash;
    let keys = usize::from(http_header_name.is_some())
        + usize::from(http_cookie.is_some())
        + usize::from(use_source_ip.is_some())
        + usize::from(http_query_parameter_name.is_some());
    if keys != 1 {
        check.error(at, "exactly one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName is needed");
    }
    if http_header_name.as_deref() == Some("") || http_query_parameter_name.as_deref() == Some("") {
        check.error(at, "the name of the hash key must not be empty");
    }
    if http_cookie.as_ref().is_some_and(|it| it.name.is_empty()) {
        check.error(format_args!("{at}.httpCookie.name"), "a cookie needs a name");
    }
    if ring_hash.is_some() && maglev.is_some() {
        check.error(at, "ringHash and maglev exclude each other");
    }
    if let Some(size) = maglev.as_ref().map(|it| it.table_size).filter(|it| *it > 0)
        && (size > MAX_TABLE || !is_prime(size))
    {
        check.error(format_args!("{at}.maglev.tableSize"), format!("{size} must be a prime up to {MAX_TABLE}"));
    }
}

fn is_prime(number: u64) -> bool {
    number > 1 && (2..).take_while(|it| it * it <= number).all(|it| !number.is_multiple_of(it))
}

fn locality(check: Checked<'_, '_>, at: &str, locality: &LocalityLb) {
    let LocalityLb { distribute, failover, failover_priority, enabled: _ } = locality;
    if !distribute.is_empty() && (!failover.is_empty() || !failover_priority.is_empty()) {
        check.error(at, "distribute excludes failover and failoverPriority");
    }
    let mut sources = HashSet::new();
    for (index, shares) in distribute.iter().enumerate() {
        let field = format!("{at}.distribute[{index}]");
        if !sources.insert(&shares.from) {
            check.error(&field, format!("the locality `{}` is distributed twice", shares.from));
        }
        let total: u64 = shares.to.values().map(|it| u64::from(*it)).sum();
        if total != 100 || shares.to.values().any(|it| *it == 0) {
            check.error(format_args!("{field}.to"), format!("shares must be positive and add up to 100, not {total}"));
        }
    }
    let mut sources = HashSet::new();
    for (index, it) in failover.iter().enumerate() {
        let field = format!("{at}.failover[{index}]");
        if it.from == it.to {
            check.error(&field, format!("the region `{}` fails over to itself", it.from));
        }
        for region in [&it.from, &it.to] {
            if region.is_empty() || region.contains(['/', '*']) {
                check.error(&field, format!("`{region}` is no region"));
            }
        }
        if !sources.insert(&it.from) {
            check.error(&field, format!("the region `{}` fails over twice", it.from));
        }
    }
}
