//! The configuration of a rate-limit service (envoyproxy/ratelimit), which is compiled in.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::problem::Problem;
use crate::read::strict;
use crate::read::tree::{Mapping, Tree};

/// Limits of a domain.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitService {
    /// Name, unique among the configurations.
    pub domain: String,
    /// The limits.
    pub descriptors: Vec<Descriptor>,
}

/// A limit, and those below it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Descriptor {
    /// Key of the entry.
    pub key: String,
    /// Value of the entry; absent is any. `*` stands for any text.
    pub value: String,
    /// The limit of descriptors that end here.
    pub rate_limit: Option<ServiceLimit>,
    /// Longer descriptors.
    pub descriptors: Vec<Descriptor>,
    /// Counts and never refuses.
    pub shadow_mode: bool,
    /// Quota mode of the service; no effect.
    pub quota_mode: bool,
    /// Finer metrics of the service; no effect.
    pub detailed_metric: bool,
    /// Finer metrics of the service; no effect.
    pub value_to_metric: bool,
    /// All values of a wildcard count together.
    pub share_threshold: bool,
    /// Metadata of the service; no effect.
    pub metadata: Option<Json>,
}

/// A limit.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceLimit {
    /// The window.
    pub unit: Option<Unit>,
    /// Requests in it.
    pub requests_per_unit: u64,
    /// No limit.
    pub unlimited: bool,
    /// Name that others replace it by.
    pub name: String,
    /// Limits that this one stands for.
    pub replaces: Vec<Replaced>,
}

/// A limit by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Replaced {
    /// The name.
    pub name: String,
}

/// A window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    /// Its length in seconds; a month has 30 days, a year 365.
    pub fn seconds(self) -> u64 {
        const DAY: u64 = 24 * 3600;
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
            Self::Year => 365 * DAY,
        }
    }
}

/// The configuration of a rate-limit service as it is, put into a ConfigMap as a cluster would.
pub(crate) fn wrapped(map: &Mapping) -> Option<Mapping> {
    if !(map.contains_key("domain") && map.contains_key("descriptors")) || map.contains_key("kind") {
        return None;
    }
    let (name, text) = (map.get("domain")?.as_str()?.replace(['_', '.'], "-"), serde_yaml::to_string(map).ok()?);
    let metadata = Mapping::from([("name", Tree::from(format!("ratelimit-{name}").as_str()))]);
    let data = Mapping::from([("config.yaml", Tree::from(text.as_str()))]);
    Some(Mapping::from([
        ("apiVersion", Tree::from("v1")),
        ("kind", Tree::from("ConfigMap")),
        ("metadata", Tree::Mapping(metadata)),
        ("data", Tree::Mapping(data)),
    ]))
}

/// Whether a text of a ConfigMap is such a configuration.
pub fn is_one(text: &str) -> bool {
    text.lines().any(|it| it.starts_with("domain:")) && text.lines().any(|it| it.starts_with("descriptors:"))
}

/// Reads one, with everything that is wrong.
pub fn read(text: &str) -> Result<RateLimitService, Vec<String>> {
    let value: Tree = serde_yaml::from_str(text).map_err(|error| vec![error.to_string()])?;
    let mut wrong = Vec::new();
    let mut report = |it: Problem| wrong.push(format!("{}: {}", it.field, it.message));
    let filled: Option<RateLimitService> = strict::fill(value, "", &mut report);
    let Some(service) = filled else { return Err(wrong) };
    if service.domain.is_empty() {
        wrong.push("domain: it must not be empty".to_owned());
    }
    descriptors(&service.descriptors, "descriptors", &mut wrong);
    if wrong.is_empty() { Ok(service) } else { Err(wrong) }
}

fn descriptors(all: &[Descriptor], at: &str, wrong: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for (index, it) in all.iter().enumerate() {
        let at = format!("{at}[{index}]");
        if it.key.is_empty() {
            wrong.push(format!("{at}: a descriptor has an empty key"));
        }
        if !seen.insert((&it.key, &it.value)) {
            wrong.push(format!("{at}: duplicate descriptor composite key `{}_{}`", it.key, it.value));
        }
        if let Some(limit) = &it.rate_limit {
            if limit.unlimited && limit.unit.is_some() {
                wrong.push(format!("{at}.rate_limit: unit and unlimited exclude each other"));
            }
            if !limit.unlimited && limit.unit.is_none() {
                wrong.push(format!("{at}.rate_limit.unit: a limit needs one"));
            }
            for replaced in &limit.replaces {
                if replaced.name.is_empty() {
                    wrong.push(format!("{at}.rate_limit.replaces: a replaced limit needs a name"));
                }
                if !limit.name.is_empty() && replaced.name == limit.name {
                    wrong.push(format!("{at}.rate_limit.replaces: a limit cannot replace itself"));
                }
            }
        }
        descriptors(&it.descriptors, &format!("{at}.descriptors"), wrong);
    }
}
