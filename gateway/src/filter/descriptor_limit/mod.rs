//! Envoy's own rate limits, as EnvoyFilters bring them: descriptors of a request, and the limits that a domain or a bucket has for them.
//!
//! A route's entries stand for its virtual host's, unless it includes them. Each entry makes
//! one descriptor; an action that yields nothing drops it. A descriptor has the limit that
//! stands exactly at its depth of the domain's tree. Windows are fixed and refused requests
//! count too, as in envoyproxy/ratelimit, whose keys these are: counters are shared with a
//! service that runs beside.

pub mod action;
pub mod counted;
pub mod patches;
pub mod service;
pub mod tree;

use http::{HeaderName, HeaderValue, StatusCode};

use self::action::Action;
use self::patches::Patches;
use self::service::LimitService;
use self::tree::Tree;
use super::fault::Share;
use crate::quota::gcra::Limit;

/// Everything that EnvoyFilters say of rate limits.
#[derive(Debug, Default)]
pub struct DescriptorLimits {
    /// The limits of a domain.
    pub global: Option<Global>,
    /// Buckets of this process, for requests without one of their own.
    pub local: Option<Local>,
    /// What virtual hosts and routes say.
    pub patches: Patches,
}

/// The limits of a domain.
#[derive(Debug)]
pub struct Global {
    /// Name in keys.
    pub domain: Box<str>,
    /// The limits.
    pub tree: Tree,
    /// Who is asked instead, where the limits are not known.
    pub service: Option<LimitService>,
    /// Entries of this stage are asked about.
    pub stage: u32,
    /// Whether requests are refused while nobody knows, and how.
    pub on_failure: Option<StatusCode>,
    /// How refused requests are answered.
    pub refusal: Refusal,
}

/// How refused requests are answered.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Status.
    pub status: StatusCode,
    /// More headers.
    pub headers: Box<[(HeaderName, HeaderValue)]>,
    /// Whether `x-envoy-ratelimited` tells.
    pub is_marked: bool,
    /// Whether gRPC calls get RESOURCE_EXHAUSTED, not UNAVAILABLE.
    pub is_exhausted: bool,
    /// Whether `X-RateLimit-*` tell what is left.
    pub tells: bool,
}

/// Buckets of this process.
#[derive(Debug)]
pub struct Local {
    /// Name in metrics and keys.
    pub name: Box<str>,
    /// The bucket of requests that no descriptor fits.
    pub bucket: Option<Limit>,
    /// Share of requests that are counted.
    pub enabled: Share,
    /// Share of those that are refused.
    pub enforced: Share,
    /// Buckets of descriptors.
    pub descriptors: Box<[Bucket]>,
    /// What descriptors requests have, if the filter says so itself.
    pub entries: Box<[Entry]>,
    /// Entries of this stage are asked about.
    pub stage: u32,
    /// Whether the first bucket is used up too when a descriptor fits.
    pub always_default: bool,
    /// How refused requests are answered.
    pub refusal: Refusal,
}

/// The bucket of a descriptor.
#[derive(Debug)]
pub struct Bucket {
    /// Keys and values.
    pub entries: Box<[(Box<str>, Box<str>)]>,
    /// Its tokens.
    pub limit: Limit,
}

/// What makes one descriptor.
#[derive(Debug)]
pub struct Entry {
    /// Asked by filters of this stage.
    pub stage: u32,
    /// Its parts.
    pub actions: Box<[Action]>,
}

impl DescriptorLimits {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.global.is_none() && self.local.is_none() && self.patches.is_empty()
    }

    /// Entries for requests of a route.
    pub fn entries<'a>(&'a self, host: &str, route: &str) -> impl Iterator<Item = &'a Entry> {
        self.patches.entries(host, route)
    }

    /// The buckets for requests of a route: its own, its host's, or everybody's.
    pub fn local(&self, host: &str, route: &str) -> Option<&Local> {
        self.patches.local(host, route).or(self.local.as_ref())
    }
}
