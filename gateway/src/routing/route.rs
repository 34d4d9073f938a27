//! One compiled rule: what it asks, what it changes, where it leads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::limits::Staged;
use super::matcher::Condition;
use super::redirect::Redirect;
use super::request::Request;
use super::rewrite::PathRewrite;
use crate::filter::cors::Cors;
use crate::filter::fault::{Fault, Share};
use crate::filter::header_edits::HeaderEdits;
use crate::origin::DocumentOrigin;
use crate::text::whole;
use crate::upstream::cluster::Cluster;
use crate::upstream::retry::Policy as RetryPolicy;

/// What the path of a request must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    /// Anything.
    Any,
    /// This path.
    Exact(Box<str>),
    /// A path that begins so.
    Prefix(Box<str>),
    /// This path in any case; kept in lower case.
    ExactFolded(Box<str>),
    /// A path that begins so in any case; kept in lower case.
    PrefixFolded(Box<str>),
    /// A path that matches as a whole.
    Regex(Box<str>),
    /// This path, or one below it; without a slash at the end (Gateway API).
    Within(Box<str>),
}

impl PathPattern {
    /// What it asks, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Any => "any path".to_owned(),
            Self::Exact(it) => format!("path = {it}"),
            Self::Prefix(it) => format!("path begins with {it}"),
            Self::ExactFolded(it) => format!("path = {it} in any case"),
            Self::PrefixFolded(it) => format!("path begins with {it} in any case"),
            Self::Regex(it) => format!("path matches {it}"),
            Self::Within(it) => format!("path is {it} or below it"),
        }
    }

    /// The length of the prefix that a rewrite replaces; the whole path where it is no prefix.
    pub fn matched_prefix(&self) -> Option<usize> {
        match self {
            // Without a path to match, Istio's route has the prefix `/`.
            Self::Any => Some(1),
            Self::Prefix(it) | Self::PrefixFolded(it) | Self::Within(it) => Some(it.len()),
            Self::Exact(_) | Self::ExactFolded(_) | Self::Regex(_) => None,
        }
    }

    /// Whether a path matches; the slow way, for explaining and for tests of the index.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(it) => path == it.as_ref(),
            Self::Prefix(it) => path.starts_with(it.as_ref()),
            Self::ExactFolded(it) => path.eq_ignore_ascii_case(it),
            Self::PrefixFolded(it) => path.get(..it.len()).is_some_and(|head| head.eq_ignore_ascii_case(it)),
            Self::Regex(it) => regex::Regex::new(&whole(it)).is_ok_and(|expression| expression.is_match(path)),
            Self::Within(it) => {
                path.strip_prefix(it.as_ref()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

/// Where in the documents a route was written.
#[derive(Debug, Clone)]
pub struct RouteOrigin {
    /// Kind of the document.
    pub kind: RouteKind,
    /// The document.
    pub service: Arc<DocumentOrigin>,
    /// Index in its rules.
    pub rule: u32,
    /// Index in the rule's matches, if it has any.
    pub condition: Option<u32>,
}

/// The kinds of documents that routes are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// Istio's.
    VirtualService,
    /// The Gateway API's.
    HttpRoute,
}

impl RouteOrigin {
    /// The path of the match, or of the rule when it has none.
    pub fn field(&self) -> String {
        let (rules, matches) = match self.kind {
            RouteKind::VirtualService => ("http", "match"),
            RouteKind::HttpRoute => ("rules", "matches"),
        };
        let rule = self.rule;
        self.condition
            .map_or_else(|| format!("spec.{rules}[{rule}]"), |it| format!("spec.{rules}[{rule}].{matches}[{it}]"))
    }
}

/// One compiled rule.
#[derive(Debug)]
pub struct Route {
    /// Name for logs; empty when the rule has none.
    pub name: Arc<str>,
    /// Name of its own metrics, if it has any.
    pub stat_prefix: Option<Arc<str>>,
    /// Where it was written.
    pub origin: RouteOrigin,
    /// What the path must be.
    pub path: PathPattern,
    /// What else must hold.
    pub conditions: Box<[Condition]>,
    /// What happens.
    pub action: Action,
    /// Changes to the headers of responses that the gateway itself gives on this route.
    pub response_edits: Arc<[HeaderEdits]>,
    /// Delays and errors that are injected.
    pub fault: Option<Arc<Fault>>,
    /// Cross-origin policy.
    pub cors: Option<Arc<Cors>>,
    /// How often it may be asked for.
    pub limits: Option<Arc<Staged>>,
}

/// What happens to a request of a route.
#[derive(Debug)]
pub enum Action {
    /// It is forwarded.
    Forward(Box<Forward>),
    /// The client is sent elsewhere.
    Redirect(Box<Redirect>),
    /// The gateway answers.
    Respond(StatusCode, Bytes),
}

/// How a request is forwarded.
#[derive(Debug)]
pub struct Forward {
    /// Where to; never empty.
    pub destinations: Box<[Destination]>,
    /// Sum of the weights; at least 1.
    pub total_weight: u32,
    /// Change of the path.
    pub rewrite: PathRewrite,
    /// Bound on the whole exchange, retries included.
    pub timeout: Option<Duration>,
    /// When a request is tried again.
    pub retry: Arc<RetryPolicy>,
    /// Who gets a copy.
    pub mirrors: Box<[Mirror]>,
}

/// Who gets a copy of a share of the requests.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// Where to; requests to one that does not exist are not copied.
    pub target: Target,
    /// Which requests.
    pub share: Share,
}

/// One weighted destination.
#[derive(Debug)]
pub struct Destination {
    /// Share in proportion to the sum.
    pub weight: u32,
    /// Where to.
    pub target: Target,
    /// New `Host`, if it changes.
    pub authority: Option<Arc<str>>,
    /// Changes to the request's headers, in order.
    pub request_edits: Arc<[HeaderEdits]>,
    /// Changes to the response's headers, in order.
    pub response_edits: Arc<[HeaderEdits]>,
}

/// A cluster, or the name of one that does not exist.
#[derive(Debug, Clone)]
pub enum Target {
    /// It exists.
    Cluster(Arc<Cluster>),
    /// Nobody declared it; requests get 503 `NC`.
    Missing(Arc<str>),
    /// The route may not use it; requests get 500.
    Refused(Arc<str>),
}

impl Target {
    /// The name of the cluster, `outbound|port|subset|host`.
    pub fn name(&self) -> &str {
        match self {
            Self::Cluster(it) => it.name(),
            Self::Missing(it) | Self::Refused(it) => it,
        }
    }
}

impl Forward {
    /// The clusters that get a copy of one request; allocates only when there are some.
    pub fn mirrored(&self, draw: impl Fn() -> u32) -> Vec<Arc<Cluster>> {
        let drawn = self.mirrors.iter().filter(|it| it.share.takes(draw()));
        drawn
            .filter_map(|it| match &it.target {
                Target::Cluster(cluster) => Some(Arc::clone(cluster)),
                Target::Missing(_) | Target::Refused(_) => None,
            })
            .collect()
    }

    /// Index of the destination for a random number.
    pub fn pick(&self, draw: u32) -> usize {
        weighted(self.destinations.iter().map(|it| it.weight), self.total_weight, draw).unwrap_or_default()
    }
}

/// What weights add up to; validation has refused more than fits.
pub fn total(weights: impl Iterator<Item = u32>) -> u32 {
    weights.fold(0, u32::saturating_add)
}

/// Index of the weight that a random number falls on, of weights with this sum; none when it is 0.
pub(super) fn weighted(mut weights: impl Iterator<Item = u32>, total: u32, draw: u32) -> Option<usize> {
    let mut ticket = draw.checked_rem(total)?;
    weights.position(|weight| match ticket.checked_sub(weight) {
        Some(rest) => {
            ticket = rest;
            false
        }
        None => true,
    })
}

/// Why a route does not take a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// Its path.
    Path(String),
    /// One of its conditions.
    Condition(String),
}

impl Route {
    /// Whether everything besides the path holds.
    pub fn holds(&self, request: &Request<'_>) -> bool {
        self.conditions.iter().all(|it| it.holds(request))
    }

    /// Whether it takes a request, and why not.
    pub fn judge(&self, request: &Request<'_>) -> Result<(), Mismatch> {
        if !self.path.matches(request.path()) {
            return Err(Mismatch::Path(self.path.describe()));
        }
        match self.conditions.iter().find(|it| !it.holds(request)) {
            None => Ok(()),
            Some(it) => Err(Mismatch::Condition(it.describe())),
        }
    }
}
