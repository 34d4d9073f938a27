//! Tells which rate limits a request falls under, by the functions that serve traffic; nothing is used up.

use std::sync::Arc;

use serde_json::Value;

use super::teller::Teller;
use crate::filter::authorization::subject::Subject;
use crate::filter::descriptor_limit::action::{self, Part};
use crate::filter::descriptor_limit::counted::Counted;
use crate::filter::descriptor_limit::{DescriptorLimits, Global, Local};
use crate::filter::fault::WHOLE;
use crate::filter::rate_limit::{AtOnce, Rule};
use crate::quota::gcra::Limit;
use crate::routing::limits::{Guarded, Limits};
use crate::routing::request::Request;
use crate::routing::route::{Action, Route};

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
            let shadow = if rule.terms.enforced { "" } else { ", only counted" };
            self.step_at("rate limit", format!("{name} takes {units} of [{parts}]{shadow}"), place);
            self.windows(rule);
            let key = format!("{name}/{:032x}", tag.0);
            self.left(rule, &key);
        }
    }

    fn windows(&mut self, rule: &Arc<Rule>) {
        for limit in rule.terms.limits.iter() {
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
                for (limit, it) in rule.terms.limits.iter().zip(limits) {
                    let left = it.get("left").map(Value::to_string).unwrap_or_default();
                    self.step("left", format!("{left} in {} s", limit.period));
                }
            }
        }
    }

    /// The limits that EnvoyFilters bring.
    pub(super) fn descriptor_limits(
        &mut self,
        limits: &DescriptorLimits,
        (virtual_host, route): (&str, &Route),
        request: &Request<'_>,
        subject: &Subject<'_>,
    ) {
        let cluster = match &route.action {
            Action::Forward(forward) => forward.destinations.first().map_or("", |it| it.target.name()),
            Action::Redirect(_) | Action::Respond(_, _) => "",
        };
        let asked = action::Asked { subject, target: request.target, authority: request.authority, cluster };
        let place = (virtual_host, &*route.name);
        if let Some(local) = limits.local(place.0, place.1) {
            self.bucket(local, limits.bucket(local, asked, place).map(|it| it.1.limit));
        }
        let Some(global) = &limits.global else { return };
        let descriptors = limits.descriptors(global, asked, place);
        if descriptors.is_empty() {
            return self.step("rate limit", format!("domain {}: no descriptor", global.domain));
        }
        for it in &descriptors {
            self.step("rate limit", format!("domain {}: descriptor {}", global.domain, written(it)));
        }
        self.counted(global, &limits.counted(global, asked, place));
    }

    fn counted(&mut self, global: &Global, counted: &[Counted<'_>]) {
        if global.service.is_some() {
            return self.step("rate limit", "a service is asked about them; its limits are not known here");
        }
        if counted.is_empty() {
            self.step("limit", "none stands exactly at the depth of a descriptor");
        }
        for (limit, window) in counted {
            let shadow = if limit.is_shadow { ", only counted" } else { "" };
            let requests = limit.requests.unwrap_or_default();
            self.step("limit", format!("{}: {requests} in {} s{shadow}", limit.path, limit.period));
            self.step("key", format!("{}<begin of the window>", window.key));
        }
    }

    fn bucket(&mut self, local: &Local, own: Option<Limit>) {
        let Some(limit) = own.or(local.bucket) else { return };
        let which = if own.is_some() { "the bucket of a descriptor" } else { "the bucket of all" };
        self.step("rate limit", format!("{} of this process: {which}", local.name));
        self.step("limit", format!("{} in {} s, at most {} at once", limit.requests, limit.period, limit.burst));
        if local.enabled.0 < WHOLE || local.enforced.0 < WHOLE {
            let part = |it: u32| f64::from(it) * 100.0 / f64::from(WHOLE);
            let told = format!("{} % counted, {} % of these refused", part(local.enabled.0), part(local.enforced.0));
            self.step("limit", told);
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

/// A descriptor, as rate-limit services write it.
fn written(descriptor: &[Part<'_>]) -> String {
    let parts: Vec<String> = descriptor.iter().map(|(key, value)| format!("({key}, {value})")).collect();
    parts.join(", ")
}
