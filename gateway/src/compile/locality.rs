//! Decides where each endpoint stands, seen from this gateway: its priority, or its locality's share.
//!
//! Istio's rules: `distribute` gives shares to localities; `failoverPriority` ranks by
//! labels; else endpoints are ranked by how much of their locality is the gateway's, once
//! outlier detection is there to see that the near ones fail.

use std::collections::BTreeMap;

use config_schema::istio::load_balancer::{LoadBalancer, LocalityLb, LocalityShares, RegionFailover, ZoneAwareLb};
use config_schema::native::settings::Node;

use super::registry::Instance;

/// Endpoints of the gateway's region from which on zones are told apart, when the rule does not say (Istio's default).
const MIN_CLUSTER_SIZE: u64 = 6;

use crate::upstream::endpoint::Place;

/// Labels that Istio gives to every endpoint from its locality.
const TOPOLOGY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// How endpoints are placed.
pub(super) enum Plan<'a> {
    /// All alike.
    Flat,
    /// By the shares of their localities.
    Shares(Vec<(&'a str, u32)>),
    /// By how near they are; traffic of the gateway's region goes to these regions next.
    Near { node: &'a Node, next: Vec<&'a str>, nearest: Nearest },
    /// By how many of these labels, from the first on, are the gateway's.
    Labels { node: &'a Node, labels: &'a [String] },
}

/// What counts as nearest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nearest {
    /// The gateway's subzone, then its zone, then its region.
    Subzone,
    /// The gateway's region as a whole.
    Region,
}

impl<'a> Plan<'a> {
    /// The plan for a host with these endpoints and this policy; `mesh` is what holds when it says nothing.
    pub(super) fn of(
        instances: &[&Instance],
        policy: Option<&'a LoadBalancer>,
        mesh: Option<&'a LocalityLb>,
        detects_failures: bool,
        node: &'a Node,
    ) -> Self {
        if let Some(ZoneAwareLb { enabled, failover, failover_priority, min_cluster_size }) =
            policy.and_then(|it| it.zone_aware_lb_setting.as_ref())
        {
            let is_on = *enabled != Some(false) && detects_failures;
            let mut plan = Self::ranked(is_on, failover, failover_priority, node);
            if let Self::Near { node, next: _, nearest } = &mut plan {
                let own = parts(&node.locality)[0];
                let size = instances.iter().filter(|it| parts(&it.locality)[0] == own).count() as u64;
                if size < min_cluster_size.unwrap_or(MIN_CLUSTER_SIZE) {
                    *nearest = Nearest::Region;
                }
            }
            return plan;
        }
        let none = &[][..];
        let Some(LocalityLb { distribute, failover, failover_priority, enabled }) =
            policy.and_then(|it| it.locality_lb_setting.as_ref()).or(mesh)
        else {
            return Self::ranked(detects_failures, none, &[], node);
        };
        let is_on = *enabled != Some(false);
        if distribute.is_empty() {
            return Self::ranked(is_on && detects_failures, failover, failover_priority, node);
        }
        match distribute.iter().find(|it| is_on && covers(&it.from, &node.locality)) {
            Some(LocalityShares { from: _, to }) => {
                Self::Shares(to.iter().map(|(locality, percent)| (locality.as_str(), *percent)).collect())
            }
            None => Self::Flat,
        }
    }

    fn ranked(is_on: bool, failover: &'a [RegionFailover], labels: &'a [String], node: &'a Node) -> Self {
        if !is_on {
            return Self::Flat;
        }
        if !labels.is_empty() {
            return Self::Labels { node, labels };
        }
        let region = parts(&node.locality)[0];
        if region.is_empty() {
            return Self::Flat;
        }
        let next = failover.iter().filter(|it| it.from == region).map(|it| it.to.as_str()).collect();
        Self::Near { node, next, nearest: Nearest::Subzone }
    }

    /// Percent for each share, in the order of [`Place::share`].
    pub(super) fn shares(&self) -> Box<[u32]> {
        match self {
            Self::Shares(shares) => shares.iter().map(|it| it.1).collect(),
            Self::Flat | Self::Near { .. } | Self::Labels { .. } => Box::default(),
        }
    }

    /// Where an endpoint stands.
    pub(super) fn place(&self, instance: &Instance) -> Place {
        match self {
            Self::Flat => Place::default(),
            Self::Shares(shares) => {
                let share = shares.iter().position(|(locality, _)| covers(locality, &instance.locality));
                Place { priority: 0, share: share.and_then(|it| u16::try_from(it).ok()) }
            }
            Self::Near { node, next, nearest } => {
                let distance = distance(&node.locality, &instance.locality, next);
                let priority = if *nearest == Nearest::Region { distance.saturating_sub(2) } else { distance };
                Place { priority, share: None }
            }
            Self::Labels { node, labels } => {
                let own = with_topology(&node.labels, &node.locality);
                let theirs = with_topology(&instance.labels, &instance.locality);
                let same = |label: &&String| match label.split_once('=') {
                    Some((key, value)) => theirs.get(key).map(String::as_str) == Some(value),
                    None => theirs.get(label.as_str()) == own.get(label.as_str()),
                };
                let matching = labels.iter().take_while(same).count();
                Place { priority: u8::try_from(labels.len() - matching).unwrap_or(u8::MAX), share: None }
            }
        }
    }
}

fn parts(locality: &str) -> [&str; 3] {
    let mut parts = locality.split('/');
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

/// Whether `region/zone/subzone`, where `*` and a missing part stand for any, covers a locality.
fn covers(pattern: &str, locality: &str) -> bool {
    parts(pattern).iter().zip(parts(locality)).all(|(pattern, part)| matches!(*pattern, "*" | "") || *pattern == part)
}

/// Istio's ranks: same subzone, same zone, same region, a region that takes over, any other.
fn distance(own: &str, other: &str, next: &[&str]) -> u8 {
    let (own, other) = (parts(own), parts(other));
    let same = own.iter().zip(other).take_while(|(own, other)| *own == other).count();
    match same {
        3 => 0,
        2 => 1,
        1 => 2,
        _ if next.is_empty() || next.contains(&other[0]) => 3,
        _ => 4,
    }
}

fn with_topology(labels: &BTreeMap<String, String>, locality: &str) -> BTreeMap<String, String> {
    let mut out = labels.clone();
    for (key, part) in TOPOLOGY.iter().zip(parts(locality)) {
        if !part.is_empty() {
            out.entry((*key).to_owned()).or_insert_with(|| part.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_istios() {
        for (other, next, expected) in [
            ("r1/z1/s1", &[][..], 0),
            ("r1/z1/s2", &[], 1),
            ("r1/z2/s1", &[], 2),
            ("r2/z1/s1", &[], 3),
            ("r2/z1/s1", &["r2"], 3),
            ("r3/z1/s1", &["r2"], 4),
            ("", &[], 3),
        ] {
            assert_eq!(distance("r1/z1/s1", other, next), expected, "{other} {next:?}");
        }
    }

    #[test]
    fn zones_are_told_apart_where_the_region_has_enough_endpoints() {
        let node = Node { locality: "r1/z1".to_owned(), ..Node::default() };
        let instance = |locality: &str| Instance {
            address: "10.0.0.1".to_owned(),
            ports: BTreeMap::new(),
            labels: BTreeMap::new(),
            locality: locality.to_owned(),
            weight: 1,
        };
        let instances = ["r1/z1", "r1/z2", "r2/z1"].map(instance);
        let priorities = |least| {
            let zone_aware = ZoneAwareLb { min_cluster_size: least, ..ZoneAwareLb::default() };
            let policy = LoadBalancer { zone_aware_lb_setting: Some(zone_aware), ..LoadBalancer::default() };
            let plan = Plan::of(&instances.each_ref(), Some(&policy), None, true, &node);
            instances.each_ref().map(|it| plan.place(it).priority)
        };
        assert_eq!(priorities(Some(2)), [0, 2, 3]);
        assert_eq!(priorities(Some(3)), [0, 0, 1]);
        assert_eq!(priorities(None), [0, 0, 1]);
    }

    #[test]
    fn patterns_cover_what_is_below_them() {
        for (pattern, locality, expected) in [
            ("*", "r1/z1", true),
            ("r1/*", "r1/z1/s1", true),
            ("r1/z1/*", "r1/z1/s1", true),
            ("r1/z1", "r1/z2", false),
            ("r1", "r1/z2/s3", true),
            ("r1/z1/s1", "r1/z1", false),
        ] {
            assert_eq!(covers(pattern, locality), expected, "{pattern} {locality}");
        }
    }
}
