//! Lowers what stands beside the destinations of a rule: retries, faults, mirrors.

use std::sync::Arc;

use config_schema::Problem;
use config_schema::istio::http_action::{Abort as WrittenAbort, Delay, FaultInjection, MirrorPolicy, Retry};
use config_schema::istio::shared::Destination;
use config_schema::istio::virtual_service::HttpRoute;
use config_schema::value::{Percent, grpc_status};

use super::clusters::Clusters;
use super::matches::{self, broken};
use crate::filter::fault::{Abort, Fault, Share, WHOLE};
use crate::routing::route::Mirror;
use crate::upstream::retry::{Condition, Conditions, DEFAULT_BACKOFF, Policy};

/// Most tries after the first, whatever a rule says.
const MAX_ATTEMPTS: u32 = 31;

/// The retries that a rule, or the mesh, writes.
pub(super) fn policy(retry: &Retry) -> Policy {
    let Retry { attempts, per_try_timeout, retry_on, retry_remote_localities, retry_ignore_previous_hosts, backoff } =
        retry;
    let attempts = u32::try_from(*attempts).unwrap_or(0).min(MAX_ATTEMPTS);
    if attempts == 0 {
        return Policy::none();
    }
    let default = Policy::default();
    let (on, statuses) = if retry_on.is_empty() { (default.on, default.statuses) } else { conditions(retry_on) };
    Policy {
        attempts,
        on,
        statuses,
        per_try: per_try_timeout.map(|it| it.0),
        backoff: backoff.map_or(DEFAULT_BACKOFF, |it| it.0),
        avoids_tried: *retry_ignore_previous_hosts != Some(false),
        elsewhere: *retry_remote_localities == Some(true),
    }
}

/// Envoy's names, and numbers for statuses; validation has refused what is neither.
fn conditions(written: &str) -> (Conditions, Box<[u16]>) {
    let mut on = Conditions::default();
    let mut statuses = Vec::new();
    for name in written.split(',').map(str::trim) {
        if let Ok(status) = name.parse() {
            statuses.push(status);
            on = on.and(Condition::Statuses);
        } else {
            // Names of conditions that this gateway never meets (HTTP/3) do nothing.
            on.add_named(name);
        }
    }
    (on, statuses.into())
}

/// The faults of a rule.
pub(super) fn fault(fault: &FaultInjection) -> Result<Arc<Fault>, Box<Problem>> {
    let FaultInjection { delay, abort } = fault;
    let delay = delay.as_ref().and_then(|it| {
        let Delay { percent, fixed_delay, exponential_delay: _, percentage } = it;
        let old = percent.and_then(|it| u32::try_from(it).ok()).map(|it| Share(it * (WHOLE / 100)));
        Some((percentage.map(share).or(old).unwrap_or(Share(0)), fixed_delay.as_ref()?.0))
    });
    let abort = abort.as_ref().map(|it| {
        let WrittenAbort { http_status, grpc_status: grpc, http2_error: _, percentage } = it;
        let http = http_status.and_then(matches::status).map(Abort::Http);
        let grpc = grpc.as_deref().and_then(grpc_status::number).map(Abort::Grpc);
        let abort = http.or(grpc).ok_or_else(|| broken("an abort needs a status".to_owned()))?;
        Ok::<_, Box<Problem>>((percentage.map_or(Share(0), share), abort))
    });
    Ok(Arc::new(Fault { delay, abort: abort.transpose()? }))
}

fn share(percent: Percent) -> Share {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "validated to lie within 0 and 100")]
    let parts = (percent.value * f64::from(WHOLE / 100)).round() as u32;
    Share(parts.min(WHOLE))
}

/// Who gets copies of a rule's requests.
pub(super) fn mirrors(
    rule: &HttpRoute,
    namespace: &str,
    port: u16,
    clusters: &mut Clusters<'_>,
) -> Result<Box<[Mirror]>, Box<Problem>> {
    let old = rule.mirror_percent.map(|it| Share(it.min(100) * (WHOLE / 100)));
    let single = rule.mirror.as_deref().into_iter().map(|it| (it, rule.mirror_percentage.map(share).or(old)));
    let several = rule
        .mirrors
        .iter()
        .filter_map(|MirrorPolicy { destination, percentage }| Some((destination.as_ref()?, percentage.map(share))));
    let all: Vec<(&Destination, Option<Share>)> = single.chain(several).collect();
    all.into_iter()
        .map(|(destination, share)| {
            Ok(Mirror { target: clusters.target(destination, namespace, port)?, share: share.unwrap_or(Share(WHOLE)) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(retry_on: &str) -> Retry {
        Retry { attempts: 3, retry_on: retry_on.to_owned(), ..Retry::default() }
    }

    #[test]
    fn conditions_replace_the_default_as_a_whole() {
        let policy = policy(&written("5xx, 429,connect-failure"));
        assert!(policy.on.has(Condition::ServerError) && policy.on.has(Condition::ConnectFailure));
        assert!(!policy.on.has(Condition::Unavailable));
        assert_eq!(policy.statuses.as_ref(), [429]);
        assert_eq!(policy.attempts, 3);
    }

    #[test]
    fn attempts_are_bounded_and_zero_turns_retries_off() {
        let with = |attempts| policy(&Retry { attempts, ..Retry::default() });
        assert_eq!(with(0), Policy::none());
        assert_eq!(with(i32::MAX).attempts, MAX_ATTEMPTS);
        assert_eq!(with(2).on, Policy::default().on);
    }

    #[test]
    fn shares_keep_four_decimals() {
        assert_eq!(share(Percent { value: 0.0001 }), Share(1));
        assert_eq!(share(Percent { value: 33.3333 }), Share(333_333));
        assert_eq!(share(Percent { value: 100.0 }), Share(WHOLE));
    }

    #[test]
    fn an_absent_percentage_injects_nothing() {
        let abort = WrittenAbort { http_status: Some(500), ..WrittenAbort::default() };
        let fault = fault(&FaultInjection { delay: None, abort: Some(abort) }).unwrap();
        assert!(fault.abort(0).is_continue());
    }
}
