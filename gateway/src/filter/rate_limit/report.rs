//! Tells clients what their limits leave, in the form that the policy names.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue};

use super::Verdict;
use crate::quota::gcra::{Limit, Standing};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const SPLIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const SPLIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const SPLIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Form of the headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers, structured fields).
    Draft,
    /// `X-RateLimit-*`, as Envoy writes them.
    XRateLimit,
    /// `RateLimit-Limit`, `-Remaining`, `-Reset`.
    Split,
    /// None.
    Off,
}

/// What is told of a rule, as far as it is always the same.
#[derive(Debug)]
pub struct Told {
    /// The form.
    pub form: Form,
    /// Names of its windows.
    pub(super) names: Box<[Box<str>]>,
    /// All windows: of `RateLimit-Policy`, or behind the smallest limit of `X-RateLimit-Limit`.
    policy: Box<str>,
}

impl Told {
    /// What is told of a rule with these limits.
    pub fn new(form: Form, name: &str, limits: &[Limit]) -> Self {
        let named = |limit: &Limit| match limits {
            [_] => name.to_owned(),
            _ => format!("{name}-{}", period(limit.period)),
        };
        let names: Box<[Box<str>]> = limits.iter().map(|it| named(it).into()).collect();
        let windows = limits.iter().zip(&names).map(|(limit, name)| match form {
            Form::Draft => format!("\"{name}\";q={};w={}", limit.requests, limit.period),
            Form::XRateLimit | Form::Split | Form::Off => format!("{};w={}", limit.requests, limit.period),
        });
        let policy = windows.collect::<Vec<_>>().join(", ");
        Self { form, names, policy: policy.into() }
    }
}

/// A period in its largest whole unit.
fn period(seconds: u64) -> String {
    for (unit, size) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        if seconds.is_multiple_of(size) {
            return format!("{}{unit}", seconds / size);
        }
    }
    format!("{seconds}s")
}

/// Whole seconds, rounded up.
pub fn seconds(micros: u64) -> u64 {
    micros.div_ceil(1_000_000)
}

/// Headers for what the rules said of a request; those that refuse nobody are not told of.
pub fn headers(verdicts: &[Verdict]) -> Vec<(HeaderName, HeaderValue)> {
    let told = |form: Form| {
        verdicts
            .iter()
            .filter(move |it| it.rule.told.form == form && it.rule.terms.enforced && !it.standings.is_empty())
    };
    let mut out = Vec::new();
    if told(Form::Draft).next().is_some() {
        let (mut policy, mut left) = (String::new(), String::new());
        for it in told(Form::Draft) {
            separate(&mut policy);
            policy.push_str(&it.rule.told.policy);
            for (name, standing) in it.rule.told.names.iter().zip(&it.standings) {
                separate(&mut left);
                // Writing to a String cannot fail.
                write!(left, "\"{name}\";r={};t={}", remaining(it, standing), reset(standing)).unwrap_or_default();
            }
        }
        push(&mut out, POLICY, policy);
        push(&mut out, LEFT, left);
    }
    for (form, [limit_name, remaining_name, reset_name]) in [
        (Form::XRateLimit, [X_LIMIT, X_REMAINING, X_RESET]),
        (Form::Split, [SPLIT_LIMIT, SPLIT_REMAINING, SPLIT_RESET]),
    ] {
        let windows =
            told(form).flat_map(|it| it.rule.terms.limits.iter().zip(&it.standings).map(move |pair| (it, pair)));
        let Some((it, (limit, standing))) = windows.min_by_key(|(it, (_, standing))| remaining(it, standing)) else {
            continue;
        };
        push(&mut out, limit_name, format!("{}, {}", limit.requests, it.rule.told.policy));
        push(&mut out, remaining_name, remaining(it, standing).to_string());
        push(&mut out, reset_name, reset(standing).to_string());
    }
    out
}

/// Units that are left; none to a client that was refused by this window.
fn remaining(verdict: &Verdict, standing: &Standing) -> u64 {
    if verdict.is_over && standing.wait > 0 { 0 } else { standing.left }
}

/// Seconds until more comes back to one who was refused, or everything to others.
fn reset(standing: &Standing) -> u64 {
    seconds(if standing.wait > 0 && standing.wait < u64::MAX { standing.wait } else { standing.reset })
}

fn separate(list: &mut String) {
    if !list.is_empty() {
        list.push_str(", ");
    }
}

fn push(out: &mut Vec<(HeaderName, HeaderValue)>, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        out.push((name, value));
    }
}
