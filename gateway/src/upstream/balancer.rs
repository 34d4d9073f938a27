//! Chooses one endpoint of a tier. Chance is an argument; nothing is allocated or locked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::endpoint::Endpoint;
use super::hash::{HashTable, Spread};

/// Longest schedule of a weighted round robin.
const MAX_SCHEDULE: u64 = 4096;

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The less busy of two random ones, by weight.
    LeastRequest,
    /// One after the other, by weight.
    RoundRobin,
    /// Any, by weight.
    Random,
    /// The one that the key of the request belongs to; any, when it has none.
    Hash(Spread),
}

impl Policy {
    /// What it does, for people.
    pub fn describe(self) -> String {
        match self {
            Self::LeastRequest => "the less busy of two random endpoints".to_owned(),
            Self::RoundRobin => "one endpoint after the other".to_owned(),
            Self::Random => "any endpoint".to_owned(),
            Self::Hash(Spread::Ring(size)) => format!("by key, on a ring of at least {size} points"),
            Self::Hash(Spread::Maglev(size)) => format!("by key, in a Maglev table of {size}"),
        }
    }
}

/// What one choice depends on.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// A random number.
    pub random: u64,
    /// The key of the request, where the policy hashes one.
    pub key: Option<u64>,
}

impl Draw {
    /// The next random number of the same draw.
    pub fn next(self) -> Self {
        Self { random: super::hash::mix(self.random), key: self.key }
    }
}

/// Endpoints among which every choice is as good, with what the policies need to choose fast.
#[derive(Debug)]
pub struct Tier {
    endpoints: Box<[Arc<Endpoint>]>,
    policy: Policy,
    /// Running sums of the weights; empty when all weigh the same.
    sums: Box<[u64]>,
    /// Order of a weighted round robin; empty when all weigh the same.
    schedule: Box<[u32]>,
    turn: AtomicUsize,
    table: Option<HashTable>,
}

impl Tier {
    /// A tier of endpoints with their weights of now; `turn` is where a round robin goes on.
    pub fn new(members: Vec<(Arc<Endpoint>, u64)>, policy: Policy, turn: usize) -> Self {
        let (endpoints, mut weights): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        for it in &mut weights {
            *it /= divisor;
        }
        let is_uniform = weights.iter().all(|it| Some(it) == weights.first());
        let sums = if is_uniform { Box::default() } else { running_sums(&weights) };
        let schedule = match policy {
            Policy::RoundRobin if !is_uniform => smooth(&weights),
            Policy::RoundRobin | Policy::LeastRequest | Policy::Random | Policy::Hash(_) => Box::default(),
        };
        let table = match policy {
            Policy::Hash(spread) => Some(HashTable::new(spread, &endpoints, &weights)),
            Policy::RoundRobin | Policy::LeastRequest | Policy::Random => None,
        };
        Self { endpoints: endpoints.into(), policy, sums, schedule, turn: AtomicUsize::new(turn), table }
    }

    /// Its endpoints.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Where the round robin is.
    pub fn turn(&self) -> usize {
        self.turn.load(Ordering::Relaxed)
    }

    /// One endpoint.
    pub fn pick(&self, draw: Draw) -> Option<&Arc<Endpoint>> {
        match self.policy {
            Policy::Random => self.draw(draw.random),
            Policy::LeastRequest => {
                let (a, b) = (self.draw(draw.random)?, self.draw(draw.next().random)?);
                // Weights are already in the draw, so the counts alone decide. Who refuses is idle
                // for a bad reason, and would draw all requests if that were not known.
                let busy = |it: &Endpoint| (it.record.is_suspect(), it.active());
                Some(if busy(b) < busy(a) { b } else { a })
            }
            Policy::RoundRobin => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                let index = match self.schedule.len() {
                    0 => turn.checked_rem(self.endpoints.len())?,
                    length => *self.schedule.get(turn % length)? as usize,
                };
                self.endpoints.get(index)
            }
            Policy::Hash(_) => match (draw.key, &self.table) {
                (Some(key), Some(table)) => self.endpoints.get(table.find(key)?),
                (None, _) | (_, None) => self.draw(draw.random),
            },
        }
    }

    fn draw(&self, number: u64) -> Option<&Arc<Endpoint>> {
        let index = match self.sums.last() {
            None => usize::try_from(number.checked_rem(self.endpoints.len() as u64)?).ok()?,
            Some(total) => {
                let ticket = number % total;
                self.sums.partition_point(|sum| *sum <= ticket)
            }
        };
        self.endpoints.get(index)
    }
}

fn running_sums(weights: &[u64]) -> Box<[u64]> {
    let mut sum = 0;
    weights
        .iter()
        .map(|it| {
            sum += it;
            sum
        })
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Smooth weighted round robin: heavy endpoints come often, and never in a row without need.
fn smooth(weights: &[u64]) -> Box<[u32]> {
    let total: u64 = weights.iter().sum();
    let mut credit = vec![0_i128; weights.len()];
    let mut out = Vec::new();
    for _ in 0..total.min(MAX_SCHEDULE) {
        for (credit, weight) in credit.iter_mut().zip(weights) {
            *credit += i128::from(*weight);
        }
        let Some((chosen, best)) =
            credit.iter_mut().enumerate().max_by_key(|(index, it)| (**it, std::cmp::Reverse(*index)))
        else {
            break;
        };
        *best -= i128::from(total);
        out.push(u32::try_from(chosen).unwrap_or_default());
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::address::Address;
    use crate::upstream::endpoint::{Lease, Place};
    use crate::upstream::hash;
    use crate::upstream::outlier::Outcome;

    fn tier(weights: &[u64], policy: Policy) -> Tier {
        let endpoint = |(port, weight): (u16, &u64)| {
            let address = Address::Inet(([127, 0, 0, 1], port).into());
            (Arc::new(Endpoint::new(address, 1, Place::default(), None)), *weight)
        };
        Tier::new((1..).zip(weights).map(endpoint).collect(), policy, 0)
    }

    fn draw(number: u64) -> Draw {
        Draw { random: hash::mix(number), key: None }
    }

    fn shares(tier: &Tier, rounds: u64) -> Vec<usize> {
        let mut counts = vec![0; tier.endpoints().len()];
        for round in 0..rounds {
            let chosen = tier.pick(draw(round)).unwrap();
            counts[tier.endpoints().iter().position(|it| Arc::ptr_eq(it, chosen)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_follows_the_weights_exactly() {
        assert_eq!(shares(&tier(&[1, 1, 1], Policy::RoundRobin), 9), [3, 3, 3]);
        assert_eq!(shares(&tier(&[1, 2, 5], Policy::RoundRobin), 16), [2, 4, 10]);
        assert_eq!(shares(&tier(&[1000, 3000], Policy::RoundRobin), 8), [2, 6]);
    }

    #[test]
    fn random_and_idle_least_request_follow_the_weights_roughly() {
        for policy in [Policy::Random, Policy::LeastRequest] {
            let counts = shares(&tier(&[1, 3], policy), 4000);
            assert!((900..1100).contains(&counts[0]), "{policy:?}: {counts:?}");
        }
    }

    #[test]
    fn least_request_avoids_the_busy_endpoint() {
        let tier = tier(&[1, 1], Policy::LeastRequest);
        let _busy = Lease::new(Arc::clone(&tier.endpoints()[0]));
        let counts = shares(&tier, 1000);
        // Only where both draws hit the busy one.
        assert!((200..300).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn least_request_avoids_an_endpoint_that_does_not_answer() {
        let tier = tier(&[1, 1, 1, 1], Policy::LeastRequest);
        tier.endpoints()[0].record.remember(Outcome::Failed);
        let counts = shares(&tier, 1600);
        // Only where both draws hit it: one in sixteen.
        assert!((60..140).contains(&counts[0]), "{counts:?}");
        tier.endpoints()[0].record.remember(Outcome::Answered(500));
        assert!(shares(&tier, 1600)[0] > 300);
    }

    #[test]
    fn a_key_stays_and_without_one_any_is_chosen() {
        let tier = tier(&[1, 1, 1], Policy::Hash(Spread::Maglev(hash::DEFAULT_TABLE)));
        let with = |random| Draw { random, key: Some(hash::key(b"user")) };
        let first = tier.pick(with(1)).unwrap();
        assert!((2..100).all(|it| Arc::ptr_eq(tier.pick(with(it)).unwrap(), first)));
        assert!(shares(&tier, 3000).iter().all(|it| (900..1100).contains(it)));
    }

    #[test]
    fn an_empty_tier_has_no_endpoint() {
        for policy in [Policy::LeastRequest, Policy::RoundRobin, Policy::Random, Policy::Hash(Spread::Ring(9))] {
            assert!(tier(&[], policy).pick(draw(7)).is_none());
        }
    }
}
