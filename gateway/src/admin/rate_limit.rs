//! Shows and resets what a key of a rate limit has used.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use serde_json::{Value, json};

use crate::filter::rate_limit::Rule;
use crate::filter::rate_limit::report::seconds;
use crate::quota::Tag;
use crate::quota::gcra::Standing;
use crate::snapshot::Snapshot;

/// A rule and a key of it, as `namespace/policy/rule/digest`.
fn find(snapshot: &Snapshot, key: &str) -> Option<(Arc<Rule>, Tag)> {
    let (rule, digest) = key.rsplit_once('/')?;
    let (policy, name) = rule.rsplit_once('/')?;
    let tag = u128::from_str_radix(digest, 16).ok()?;
    let is_meant = |it: &&Arc<Rule>| *it.identity.policy == *policy && *it.identity.name == *name;
    snapshot.limit_rules.iter().find(is_meant).map(|it| (Arc::clone(it), Tag(tag)))
}

fn unknown(key: &str) -> (StatusCode, Value) {
    let told = format!("no rule has the key `{key}`; `sluice explain` names keys as namespace/policy/rule/digest");
    (StatusCode::NOT_FOUND, json!({ "error": told }))
}

/// What a key has left.
pub(super) async fn show(snapshot: &Snapshot, key: &str) -> (StatusCode, Value) {
    let Some((rule, tag)) = find(snapshot, key) else { return unknown(key) };
    let counters = &snapshot.counters;
    let (store, standings) = match &counters.redis {
        None => {
            let moment = counters.moment(Instant::now(), 0);
            ("memory", counters.memory.show(tag, &rule.terms.limits, moment.micros))
        }
        Some(remote) => match remote.store.show(tag, Arc::clone(&rule.terms.limits)).await {
            Ok(answer) => ("redis", answer.standings),
            Err(failure) => {
                return (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": format!("redis: {}", failure.name()) }));
            }
        },
    };
    let limits: Vec<Value> = rule.terms.limits.iter().zip(&standings).map(|(limit, it)| {
        let Standing { left, wait: _, reset } = it;
        json!({ "requests": limit.requests, "per": limit.period, "burst": limit.burst, "left": left, "resetSeconds": seconds(*reset) })
    }).collect();
    (StatusCode::OK, json!({ "key": key, "store": store, "limits": limits }))
}

/// Forgets what a key used.
pub(super) async fn reset(snapshot: &Snapshot, key: &str) -> (StatusCode, Value) {
    let Some((rule, tag)) = find(snapshot, key) else { return unknown(key) };
    snapshot.counters.memory.reset(tag);
    if let Some(remote) = &snapshot.counters.redis {
        remote.denials.forget(tag);
        remote.leases.forget(tag);
        if let Err(failure) = remote.store.reset(tag, &rule.terms.limits).await {
            return (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": format!("redis: {}", failure.name()) }));
        }
    }
    (StatusCode::OK, json!({ "key": key, "reset": true }))
}
