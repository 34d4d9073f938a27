//! A named group of endpoints with the policy of the traffic to it.
//!
//! A cluster outlives reloads: when its definition is the same, the new snapshot takes the
//! cluster of the old one, with its connections, counts and addresses; when it changed, the
//! endpoints that stay keep theirs. Endpoints are swapped inside it; a request reads them
//! once. Only ejections, sweeps and new addresses take the lock, never a choice.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::address::Address;
use super::balancer::Draw;
use super::connections::Connections;
use super::definition::{self, Definition, Discovery, Member};
use super::dial::{Dial, Opening};
use super::endpoint::{Endpoint, Lease};
use super::limits::{Load, RetryLimit, Slot};
use super::outlier::{self, Outcome};
use super::tiers::Tiers;
use super::window::Window;

/// How often another endpoint is drawn when the first was tried before (Istio's default).
const REDRAWS: usize = 5;

/// A named group of endpoints.
#[derive(Debug)]
pub struct Cluster {
    name: Arc<str>,
    definition: Definition,
    born: Instant,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    tiers: ArcSwap<Tiers>,
    load: Arc<Load>,
    /// Requests that count for the retry budget after their end.
    recent: Option<Window>,
    connections: Arc<Connections>,
    dial: Arc<Dial>,
    /// What keeps its connections apart from those of others to the same address.
    group: u64,
    /// Held while endpoints or tiers are made anew.
    changing: Mutex<()>,
}

impl Cluster {
    /// A cluster; one that is found by DNS has no endpoints until they were looked up.
    pub fn new(definition: Definition, before: Option<&Self>, now: Instant) -> Self {
        let connections = Arc::new(Connections::new(&definition));
        let load = before.map_or_else(Arc::default, |it| Arc::clone(&it.load));
        let dial = Arc::new(Dial::new(&definition, &connections, &load, Opening::default()));
        let cluster = Self {
            dial,
            group: group(&definition),
            name: definition::name(&definition.host, definition.port, &definition.subset).into(),
            born: before.map_or(now, |it| it.born),
            endpoints: ArcSwap::from_pointee(before.map_or_else(Vec::new, |it| it.endpoints().to_vec())),
            tiers: ArcSwap::from_pointee(Tiers::default()),
            load,
            recent: lookback(&definition.limits.retries).map(|it| Window::new(it, now)),
            connections,
            changing: Mutex::new(()),
            definition,
        };
        match &cluster.definition.discovery {
            Discovery::Static(members) => cluster.set_addresses(members, now),
            // What is known stays until the first answer.
            Discovery::Dns(_) => cluster.divide(now),
            Discovery::ByHost(_) | Discovery::Nowhere => cluster.set_addresses(&[], now),
        }
        cluster
    }

    /// `outbound|port|subset|host`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was made of.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// What it is asked now.
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// A place for a request.
    pub fn admit(&self, now: impl Fn() -> Instant) -> Option<Slot> {
        let slot = self.load.request(&self.definition.limits)?;
        if let Some(recent) = &self.recent {
            recent.add(now());
        }
        Some(slot)
    }

    /// A place for a retry.
    pub fn admit_retry(&self, now: impl Fn() -> Instant) -> Option<Slot> {
        let recent = self.recent.as_ref().map_or(0, |it| it.total(now()));
        self.load.retry(&self.definition.limits, recent)
    }

    /// Its connections.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// What keeps its connections apart from those of others to the same address.
    pub fn group(&self) -> u64 {
        self.group
    }

    /// What makes them.
    pub fn dial(&self) -> &Arc<Dial> {
        &self.dial
    }

    /// The endpoints now, usable or not.
    pub fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// Share of the traffic that each priority takes now, in percent.
    pub fn loads(&self) -> Vec<u64> {
        self.tiers.load().loads().collect()
    }

    /// One endpoint of another priority than those that were tried; any when there is none.
    pub fn pick_elsewhere(&self, draw: Draw, tried: &[Arc<Endpoint>]) -> Option<Lease> {
        let elsewhere = self.tiers.load().pick_elsewhere(draw, tried).map(Arc::clone);
        elsewhere.map(Lease::new).or_else(|| self.pick(draw, tried))
    }

    /// One endpoint, counted as busy until the lease ends; if possible none of `tried`.
    pub fn pick(&self, draw: Draw, tried: &[Arc<Endpoint>]) -> Option<Lease> {
        let tiers = self.tiers.load();
        let mut draw = draw;
        let mut chosen = tiers.pick(draw)?;
        // A key belongs to one endpoint; drawing again would find the same.
        let redraws = if tried.is_empty() || draw.key.is_some() { 0 } else { REDRAWS };
        for _ in 0..redraws {
            if !tried.iter().any(|it| Arc::ptr_eq(it, chosen)) {
                break;
            }
            draw = draw.next();
            chosen = tiers.pick(draw)?;
        }
        Some(Lease::new(Arc::clone(chosen)))
    }

    /// Learns what became of a try at an endpoint, and leaves it out when that is one too many.
    pub fn report(&self, endpoint: &Endpoint, outcome: Outcome, now: impl Fn() -> Instant) {
        let Some(detection) = &self.definition.detection else { return endpoint.record.remember(outcome) };
        if !endpoint.record.note(outcome, detection) || endpoint.record.is_ejected() {
            return;
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoints = self.endpoints.load();
        let ejected = endpoints.iter().filter(|it| it.record.is_ejected()).count();
        if endpoint.record.is_ejected() || !outlier::may_eject(ejected, endpoints.len(), detection) {
            return;
        }
        let now = now();
        endpoint.record.eject(now.saturating_duration_since(self.born));
        log::info!("{}: {} is left out, its requests fail", self.name, endpoint.address);
        self.divide(now);
    }

    /// Notes what the active health check of an endpoint found.
    pub fn set_failing(&self, endpoint: &Endpoint, failing: bool, now: Instant) {
        if endpoint.set_failing(failing) {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let state = if failing { "fails its health check" } else { "passes its health check" };
            log::info!("{}: {} {state}", self.name, endpoint.address);
            self.divide(now);
        }
    }

    /// How often [`Self::sweep`] is due; never when absent.
    pub fn sweeps_every(&self) -> Option<Duration> {
        let warmup = self.definition.division.warmup.map(|it| (it.duration / 20).max(Duration::from_millis(100)));
        let detection = self.definition.detection.as_ref().map(|it| it.interval);
        warmup.into_iter().chain(detection).min()
    }

    /// Lets endpoints back whose time is over, and gives those that warm up their weight of now.
    pub fn sweep(&self, now: Instant) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(self.born);
        let mut any = self.tiers.load().is_warming();
        if let Some(detection) = &self.definition.detection {
            for it in self.endpoints.load().iter() {
                any |= it.record.sweep(age, detection);
            }
        }
        if any {
            self.divide(now);
        }
    }

    /// Replaces the endpoints; those that stay keep their counts and their record.
    pub fn set_addresses(&self, members: &[Member<Address>], now: Instant) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.endpoints.load();
        let same = |endpoint: &Endpoint, member: &Member<Address>| {
            endpoint.address == member.target
                && endpoint.weight == member.weight.max(1)
                && endpoint.place == member.place
        };
        let joined = (!old.is_empty()).then_some(now);
        let known: std::collections::HashMap<&Address, &Arc<Endpoint>> =
            old.iter().map(|it| (&it.address, it)).collect();
        let endpoints = members
            .iter()
            .map(|member| match known.get(&member.target) {
                Some(it) if same(it, member) => Arc::clone(it),
                Some(_) | None => Arc::new(Endpoint::new(member.target.clone(), member.weight, member.place, joined)),
            })
            .collect();
        self.endpoints.store(Arc::new(endpoints));
        self.divide(now);
    }

    /// Makes the tiers anew; the caller holds the lock, or nobody else has the cluster yet.
    fn divide(&self, now: Instant) {
        let before = self.tiers.load();
        let tiers = Tiers::new(&self.endpoints.load(), &self.definition.division, now, &before);
        self.tiers.store(Arc::new(tiers));
    }
}

/// How long requests count for the retry budget after their end.
fn lookback(limit: &RetryLimit) -> Option<Duration> {
    match limit {
        RetryLimit::Fixed(_) => None,
        RetryLimit::Budget { share: _, least: _, lookback } => Some(*lookback).filter(|it| !it.is_zero()),
    }
}

/// What Pingora's own key leaves out: the certificates, and whose bound a connection counts under.
fn group(definition: &Definition) -> u64 {
    let mut hasher = DefaultHasher::new();
    let own =
        (definition.limits.connections != u32::MAX).then_some((&definition.host, definition.port, &definition.subset));
    (&definition.tls, own).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balancer::Policy;
    use crate::upstream::definition::{Pool, Protocol, Tls};
    use crate::upstream::endpoint::Place;
    use crate::upstream::limits::Limits;
    use crate::upstream::outlier::Detection;
    use crate::upstream::tiers::Division;

    fn members(ports: &[u16]) -> Vec<Member<Address>> {
        let address = |port: &u16| Address::Inet(([127, 0, 0, 1], *port).into());
        ports.iter().map(|it| Member { target: address(it), weight: 1, place: Place::default() }).collect()
    }

    fn definition(ports: &[u16]) -> Definition {
        Definition {
            host: "a".into(),
            port: 80,
            subset: "".into(),
            namespace: "default".into(),
            discovery: Discovery::Static(members(ports)),
            division: Division { policy: Policy::RoundRobin, shares: Box::default(), warmup: None, panic_below: 0 },
            key: None,
            protocol: Protocol::Http1,
            tls: Tls::Off,
            pool: Pool {
                connect_timeout: Duration::from_secs(10),
                idle: None,
                max_requests: 0,
                max_age: None,
                keepalive: None,
                max_streams: 100,
                ping: None,
            },
            limits: Limits::default(),
            detection: Some(Detection {
                consecutive_5xx: 2,
                consecutive_gateway: 0,
                consecutive_local: 0,
                splits_local: false,
                error_codes: Box::default(),
                interval: Duration::from_secs(10),
                base_ejection: Duration::from_secs(30),
                max_ejection_percent: 50,
                min_health_percent: 0,
            }),
            check: None,
            proxy_header: None,
            tunnel: None,
        }
    }

    const DRAW: Draw = Draw { random: 7, key: None };

    #[test]
    fn endpoints_that_stay_keep_their_counts() {
        let now = Instant::now();
        let cluster = Cluster::new(definition(&[1]), None, now);
        assert_eq!(cluster.name(), "outbound|80||a");
        let lease = cluster.pick(DRAW, &[]).unwrap();
        cluster.set_addresses(&members(&[1, 2]), now);
        let busy = |cluster: &Cluster| cluster.endpoints().iter().map(|it| it.active()).collect::<Vec<_>>();
        assert_eq!(busy(&cluster), [1, 0]);
        let reloaded = Cluster::new(definition(&[2, 1, 3]), Some(&cluster), now);
        assert_eq!(busy(&reloaded), [0, 1, 0]);
        drop(lease);
        assert_eq!(busy(&reloaded), [0, 0, 0]);
    }

    #[test]
    fn an_endpoint_that_fails_is_left_out_for_its_time_and_never_too_many() {
        let now = Instant::now();
        let cluster = Cluster::new(definition(&[1, 2, 3]), None, now);
        let fail = |index: usize| {
            for _ in 0..2 {
                cluster.report(&cluster.endpoints()[index], Outcome::Failed, || now);
            }
        };
        fail(0);
        fail(1);
        let usable = || cluster.endpoints().iter().map(|it| it.is_usable()).collect::<Vec<_>>();
        assert_eq!(usable(), [false, true, true], "half of three is one");
        let ports: Vec<_> =
            (0..4).filter_map(|_| cluster.pick(DRAW, &[])).map(|it| it.endpoint().address.to_string()).collect();
        assert_eq!(ports, ["127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:2", "127.0.0.1:3"]);
        cluster.sweep(now + Duration::from_secs(29));
        assert_eq!(usable(), [false, true, true]);
        cluster.sweep(now + Duration::from_secs(30));
        assert_eq!(usable(), [true, true, true]);
        let chosen: Vec<_> = (0..3).filter_map(|_| cluster.pick(DRAW, &[])).collect();
        assert_eq!(chosen.iter().filter(|it| it.endpoint().address.to_string() == "127.0.0.1:1").count(), 1);
    }

    #[test]
    fn an_endpoint_that_was_tried_is_avoided_while_there_are_others() {
        let cluster = Cluster::new(definition(&[1, 2]), None, Instant::now());
        let endpoints = cluster.endpoints();
        for _ in 0..10 {
            let lease = cluster.pick(DRAW, &endpoints[..1]).unwrap();
            assert_eq!(lease.endpoint().address.to_string(), "127.0.0.1:2");
        }
        assert!(cluster.pick(DRAW, &endpoints).is_some(), "all were tried");
    }
}
