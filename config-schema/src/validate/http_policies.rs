//! Rules of what stands beside the action of an HTTP rule: retries, faults, mirrors, CORS.

use super::check::{Check, METHODS, is_header_name};
use super::virtual_service::destination;
use crate::istio::http_action::{Abort, CorsPolicy, Delay, FaultInjection, Retry};
use crate::istio::virtual_service::{HttpRoute, VirtualService};
use crate::value::{Percent, grpc_status};

type Checked<'a, 'b> = &'a mut Check<'b, VirtualService>;

/// Envoy's retry conditions, of HTTP and gRPC.
const RETRY_ON: [&str; 14] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// Conditions that Istio admits and that never come about here: they speak of HTTP/3, or of lists that no field can fill.
const NEVER: [&str; 4] = ["http3-post-connect-failure", "retriable-headers", "safe-methods", "idempotent"];

pub(super) fn retries(check: Checked<'_, '_>, at: &str, retry: &Retry) {
    let Retry { attempts, per_try_timeout, retry_on, retry_remote_localities, retry_ignore_previous_hosts: _, backoff } =
        retry;
    check.not_negative(format_args!("{at}.attempts"), *attempts);
    let more = per_try_timeout.is_some() || !retry_on.is_empty() || retry_remote_localities.is_some();
    if *attempts == 0 && more {
        check.error(at, "attempts is 0, which turns retries off; the other settings contradict it");
    }
    check.at_least_1ms(format_args!("{at}.perTryTimeout"), *per_try_timeout);
    check.at_least_1ms(format_args!("{at}.backoff"), *backoff);
    for condition in retry_on.split(',').map(str::trim).filter(|_| !retry_on.is_empty()) {
        let status = condition.parse::<u16>().is_ok_and(|it| (100..=599).contains(&it));
        if NEVER.contains(&condition) {
            check.warn(format_args!("{at}.retryOn"), format!("`{condition}` never comes about in this gateway"));
        } else if !status && !RETRY_ON.contains(&condition) {
            check.error(
                format_args!("{at}.retryOn"),
                format!("`{condition}` is neither a retry condition nor a status code"),
            );
        }
    }
}

pub(super) fn fault(check: Checked<'_, '_>, at: &str, fault: &FaultInjection) {
    let FaultInjection { delay, abort } = fault;
    if delay.is_none() && abort.is_none() {
        check.error(at, "a fault needs a delay or an abort");
    }
    if let Some(Delay { percent, fixed_delay, exponential_delay, percentage }) = delay {
        if exponential_delay.is_some() || fixed_delay.is_none() {
            check.error(format_args!("{at}.delay"), "a delay needs fixedDelay");
        }
        check.at_least_1ms(format_args!("{at}.delay.fixedDelay"), *fixed_delay);
        percentages(check, &format!("{at}.delay"), *percent, *percentage);
    }
    if let Some(Abort { http_status, grpc_status, http2_error, percentage }) = abort {
        match (http_status, grpc_status, http2_error) {
            (Some(status), None, None) if (200..=599).contains(status) => {}
            (Some(status), None, None) => {
                check.error(
                    format_args!("{at}.abort.httpStatus"),
                    format!("status {status} must be between 200 and 599"),
                );
            }
            (None, Some(status), None) if grpc_status::number(status).is_some() => {}
            (None, Some(status), None) => {
                check.error(format_args!("{at}.abort.grpcStatus"), format!("`{status}` is no gRPC status"));
            }
            _ => check.error(format_args!("{at}.abort"), "an abort needs httpStatus or grpcStatus"),
        }
        percentages(check, &format!("{at}.abort"), None, *percentage);
    }
}

fn percentages(check: Checked<'_, '_>, at: &str, percent: Option<i32>, percentage: Option<Percent>) {
    if percentage.is_some_and(|it| !it.is_valid()) {
        check.error(format_args!("{at}.percentage"), "a percentage is 0 or between 0.0001 and 100");
    }
    if percent.is_some_and(|it| !(0..=100).contains(&it)) {
        check.error(format_args!("{at}.percent"), "a percentage is between 0 and 100");
    }
}

pub(super) fn mirrors(check: Checked<'_, '_>, at: &str, rule: &HttpRoute) {
    if rule.mirror.is_some() && !rule.mirrors.is_empty() {
        check.error(at, "mirror and mirrors exclude each other");
    }
    if let Some(it) = &rule.mirror {
        destination(check, &format!("{at}.mirror"), Some(it));
    }
    percentages(check, &format!("{at}.mirror"), None, rule.mirror_percentage);
    if rule.mirror_percent.is_some_and(|it| it > 100) {
        check.error(format_args!("{at}.mirrorPercent"), "a percentage is between 0 and 100");
    }
    for (index, it) in rule.mirrors.iter().enumerate() {
        destination(check, &format!("{at}.mirrors[{index}].destination"), it.destination.as_ref());
        percentages(check, &format!("{at}.mirrors[{index}]"), None, it.percentage);
    }
}

pub(super) fn cors(check: Checked<'_, '_>, at: &str, cors: &CorsPolicy) {
    for (index, origin) in cors.allow_origins.iter().enumerate() {
        let field = format!("{at}.allowOrigins[{index}]");
        if origin.alternatives() == 0 {
            check.error(&field, "an origin needs exact, prefix or regex");
        }
        check.string_match(&field, origin);
    }
    for (index, method) in cors.allow_methods.iter().enumerate() {
        if method != "*" && !METHODS.contains(&method.as_str()) {
            check.error(format_args!("{at}.allowMethods[{index}]"), format!("`{method}` is no method"));
        }
    }
    for (list, names) in [("allowHeaders", &cors.allow_headers), ("exposeHeaders", &cors.expose_headers)] {
        for (index, name) in names.iter().enumerate() {
            if !is_header_name(name) {
                check.error(format_args!("{at}.{list}[{index}]"), format!("`{name}` is no header name"));
            }
        }
    }
    if cors.max_age.is_some_and(|it| it.0.subsec_nanos() != 0) {
        check.error(format_args!("{at}.maxAge"), "maxAge is given in whole seconds");
    }
}
