//! Which rate limits a request falls under: of the whole gateway, and of the route that it takes.

use std::sync::Arc;

use super::matcher::Condition;
use super::request::Request;
use crate::filter::authorization::Test;
use crate::filter::authorization::subject::Subject;
use crate::filter::rate_limit::{AtOnce, Rule};
use crate::text::TextPattern;

/// Limits before and behind authentication.
#[derive(Debug, Default)]
pub struct Staged {
    /// Asked before credentials are looked at.
    pub before: Limits,
    /// Asked behind access policies.
    pub after: Limits,
}

/// Limits that are asked together.
#[derive(Debug, Default)]
pub struct Limits {
    /// How often.
    pub rules: Box<[Guarded<Rule>]>,
    /// How many at once.
    pub at_once: Box<[Guarded<AtOnce>]>,
}

/// A limit, and the requests that it is for.
#[derive(Debug)]
pub struct Guarded<T> {
    /// One must hold; none is for all.
    pub matches: Arc<[Predicate]>,
    /// Requests that are not limited.
    pub exempt: Arc<[Predicate]>,
    /// The limit.
    pub limit: Arc<T>,
}

impl<T> Clone for Guarded<T> {
    fn clone(&self) -> Self {
        let Self { matches, exempt, limit } = self;
        Self { matches: Arc::clone(matches), exempt: Arc::clone(exempt), limit: Arc::clone(limit) }
    }
}

/// Conditions that must all hold.
#[derive(Debug)]
pub struct Predicate {
    /// Of the path without query.
    pub path: Option<TextPattern>,
    /// Declared port of the listener.
    pub port: Option<u16>,
    /// Of the request.
    pub conditions: Box<[Condition]>,
    /// Of who asks.
    pub tests: Box<[Test]>,
}

impl Predicate {
    /// Whether all hold.
    pub fn holds(&self, request: &Request<'_>, subject: &Subject<'_>) -> bool {
        self.port.is_none_or(|it| it == request.port)
            && self.path.as_ref().is_none_or(|it| it.matches(request.path()))
            && self.conditions.iter().all(|it| it.holds(request))
            && self.tests.iter().all(|it| it.holds_for(subject))
    }
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.at_once.is_empty()
    }
}

impl<T> Guarded<T> {
    /// Whether a request falls under it.
    pub fn is_for(&self, request: &Request<'_>, subject: &Subject<'_>) -> bool {
        let any = |all: &[Predicate]| all.iter().any(|it| it.holds(request, subject));
        (self.matches.is_empty() || any(&self.matches)) && !any(&self.exempt)
    }
}
