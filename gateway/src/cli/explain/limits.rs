//! Tells which rate limits a request falls under, by the functions that serve traffic; nothing is used up.

use std::sync::Arc;

use serde_json::Value;

use super::teller::Teller;
use crate::filter::authorization::subject::Subject;
use crate::filter::rate_limit::{AtOnce, Rule};
use crate::routing::limits::{Guarded, Limits};
use crate::routing::request::Request;

impl Teller<'_> {
    /// The limits of a stage.
    pub(super) fn limits(&mut self, limits: &Limits, request: &Request<'_>, subject: &Subject<'_>) {
        for it in &limits.at_once {
            if it.is_for(request, subject) {
                self.at_once(it, request, subject);
            }
        }
        for it in &limits.rules {
            let rule = &it.limit;
            let place = (&*rule.identity.origin, &*rule.identity.field);
            let name = format!("{}/{}", rule.identity.policy, rule.identity.name);
            if !it.is_for(request, subject) {
                self.step_at("rate limit", format!("{name} is not for it"), place);
                continue;
            }
            let parts = rule.key.describe(subject, request.target).join(", ");
            let Some(tag) = rule.key.of(subject, request.target) else {
                self.step_at("rate limit", format!("{name} is skipped, its key is not complete: {parts}"), place);
                continue;
            };
            let units = rule.ask(tag, request.headers).cost;
            let shadow = if rule.enforced { "" } else { ", only counted" };
            self.step_at("rate limit", format!("{name} takes {units} of [{parts}]{shadow}"), place);
            self.windows(rule);
            let key = format!("{name}/{:032x}", tag.0);
            self.left(rule, &key);
        }
    }

    fn windows(&mut self, rule: &Arc<Rule>) {
        for limit in rule.limits.iter() {
            let told = format!("{} in {} s, at most {} at once", limit.requests, limit.period, limit.burst);
            self.step("limit", told);
        }
    }

    /// What is left, where a running gateway was asked.
    fn left(&mut self, rule: &Rule, key: &str) {
        self.step("key", key);
        let Some(live) = self.live() else { return };
        match live.rate_limit(key) {
            Err(message) => self.step("left", message),
            Ok(answer) => {
                let limits = answer.get("limits").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                for (limit, it) in rule.limits.iter().zip(limits) {
                    let left = it.get("left").map(Value::to_string).unwrap_or_default();
                    self.step("left", format!("{left} in {} s", limit.period));
                }
            }
        }
    }

    fn at_once(&mut self, it: &Guarded<AtOnce>, request: &Request<'_>, subject: &Subject<'_>) {
        let bound = &it.limit;
        let parts = bound.key.describe(subject, request.target).join(", ");
        let name = format!("{}/{}", bound.identity.policy, bound.identity.name);
        let told = format!("{name} admits {} at once of [{parts}]", bound.most);
        self.step_at("rate limit", told, (&bound.identity.origin, &bound.identity.field));
    }
}
