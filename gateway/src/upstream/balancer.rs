//! Chooses one endpoint of a cluster. Chance is an argument; nothing is allocated or locked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::endpoint::Endpoint;

/// Longest schedule of a weighted round robin.
const MAX_SCHEDULE: usize = 4096;

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The less busy of two random ones, by weight.
    LeastRequest,
    /// One after the other, by weight.
    RoundRobin,
    /// Any, by weight.
    Random,
}

/// Endpoints with what the policies need to choose fast.
#[derive(Debug)]
pub struct EndpointSet {
    endpoints: Box<[Arc<Endpoint>]>,
    /// Running sums of the weights; empty when all weigh the same.
    sums: Box<[u64]>,
    /// Order of a weighted round robin; empty when all weigh the same.
    schedule: Box<[u32]>,
    turn: AtomicUsize,
}

impl EndpointSet {
    /// A set of these endpoints.
    pub fn new(endpoints: Vec<Arc<Endpoint>>) -> Self {
        let first = endpoints.first().map(|it| it.weight);
        let uniform = endpoints.iter().all(|it| Some(it.weight) == first);
        let mut sums = Vec::new();
        if !uniform {
            let mut sum = 0;
            sums.extend(endpoints.iter().map(|it| {
                sum += u64::from(it.weight);
                sum
            }));
        }
        let schedule = if uniform { Vec::new() } else { smooth(&endpoints) };
        Self { endpoints: endpoints.into(), sums: sums.into(), schedule: schedule.into(), turn: AtomicUsize::new(0) }
    }

    /// All endpoints.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// One endpoint; `draw` are two random numbers.
    pub fn pick(&self, policy: Policy, draw: (u64, u64)) -> Option<&Arc<Endpoint>> {
        match policy {
            Policy::Random => self.draw(draw.0),
            Policy::LeastRequest => {
                let (a, b) = (self.draw(draw.0)?, self.draw(draw.1)?);
                // Weights are already in the draw, so the counts alone decide.
                Some(if b.active() < a.active() { b } else { a })
            }
            Policy::RoundRobin => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                let index = match self.schedule.len() {
                    0 => turn.checked_rem(self.endpoints.len())?,
                    length => *self.schedule.get(turn % length)? as usize,
                };
                self.endpoints.get(index)
            }
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

/// Smooth weighted round robin: heavy endpoints come often, and never in a row without need.
fn smooth(endpoints: &[Arc<Endpoint>]) -> Vec<u32> {
    let total: u64 = endpoints.iter().map(|it| u64::from(it.weight)).sum();
    let length = usize::try_from(total).unwrap_or(MAX_SCHEDULE).min(MAX_SCHEDULE);
    let mut credit = vec![0_i128; endpoints.len()];
    let mut out = Vec::with_capacity(length);
    for _ in 0..length {
        for (credit, endpoint) in credit.iter_mut().zip(endpoints) {
            *credit += i128::from(endpoint.weight);
        }
        let Some((chosen, best)) =
            credit.iter_mut().enumerate().max_by_key(|(index, it)| (**it, std::cmp::Reverse(*index)))
        else {
            break;
        };
        *best -= i128::from(total);
        out.push(u32::try_from(chosen).unwrap_or_default());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::address::Address;
    use crate::upstream::endpoint::Lease;

    fn set(weights: &[u32]) -> EndpointSet {
        let endpoint = |(port, weight): (u16, &u32)| {
            Arc::new(Endpoint::new(Address::Inet(([127, 0, 0, 1], port).into()), *weight))
        };
        EndpointSet::new((1..).zip(weights).map(endpoint).collect())
    }

    fn shares(set: &EndpointSet, policy: Policy, rounds: u64) -> Vec<usize> {
        let mut counts = vec![0; set.endpoints().len()];
        for round in 0..rounds {
            let chosen =
                set.pick(policy, (round.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7, round.wrapping_mul(31))).unwrap();
            counts[set.endpoints().iter().position(|it| Arc::ptr_eq(it, chosen)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_follows_the_weights_exactly() {
        assert_eq!(shares(&set(&[1, 1, 1]), Policy::RoundRobin, 9), [3, 3, 3]);
        assert_eq!(shares(&set(&[1, 2, 5]), Policy::RoundRobin, 16), [2, 4, 10]);
    }

    #[test]
    fn random_follows_the_weights_roughly() {
        let counts = shares(&set(&[1, 3]), Policy::Random, 4000);
        assert!((900..1100).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn least_request_avoids_the_busy_endpoint() {
        let set = set(&[1, 1]);
        let _busy = Lease::new(Arc::clone(&set.endpoints()[0]));
        assert_eq!(set.pick(Policy::LeastRequest, (0, 1)).unwrap().address.to_string(), "127.0.0.1:2");
        assert_eq!(set.pick(Policy::LeastRequest, (1, 0)).unwrap().address.to_string(), "127.0.0.1:2");
    }

    #[test]
    fn an_empty_set_has_no_endpoint() {
        for policy in [Policy::LeastRequest, Policy::RoundRobin, Policy::Random] {
            assert!(set(&[]).pick(policy, (7, 9)).is_none());
        }
    }
}
