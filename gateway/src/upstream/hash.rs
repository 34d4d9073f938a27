//! Keeps a key on the same endpoint: a ring of points, or Maglev's table.
//!
//! Both depend on nothing but the addresses and weights of the endpoints, so every replica
//! of the gateway finds the same endpoint for a key. Looking up allocates nothing.

use std::sync::Arc;

use super::endpoint::Endpoint;

/// Least number of points on a ring when nobody says (Envoy's default).
pub const DEFAULT_RING: u64 = 1024;
/// Most points on a ring.
const MAX_RING: u64 = 8 * 1024 * 1024;
/// Size of a Maglev table when nobody says (Envoy's default).
pub const DEFAULT_TABLE: u64 = 65_537;

/// How keys are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spread {
    /// A ring with at least this many points.
    Ring(u64),
    /// Maglev with a table of this size, a prime.
    Maglev(u64),
}

/// A number for a key that is the same in every process and version (FNV-1a, mixed).
pub fn key(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(hash)
}

/// Spreads the bits of a number (SplitMix64).
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Endpoints by key; each is an index in the list that the table was made for.
#[derive(Debug)]
pub enum HashTable {
    /// Points in order, each with its endpoint.
    Ring(Box<[(u64, u32)]>),
    /// One endpoint for each remainder.
    Maglev(Box<[u32]>),
}

impl HashTable {
    /// A table for endpoints with these weights.
    pub fn new(spread: Spread, endpoints: &[Arc<Endpoint>], weights: &[u64]) -> Self {
        let names: Vec<u64> = endpoints.iter().map(|it| key(it.address.to_string().as_bytes())).collect();
        match spread {
            Spread::Ring(least) => Self::Ring(ring(least, &names, weights)),
            Spread::Maglev(size) => Self::Maglev(maglev(size, &names, weights)),
        }
    }

    /// Index of the endpoint for a key.
    pub fn find(&self, key: u64) -> Option<usize> {
        let index = match self {
            Self::Ring(points) => {
                let at = points.partition_point(|(point, _)| *point < key);
                points.get(at).or_else(|| points.first())?.1
            }
            Self::Maglev(table) => {
                let at = key.checked_rem(table.len() as u64)?;
                *table.get(usize::try_from(at).ok()?)?
            }
        };
        usize::try_from(index).ok()
    }
}

/// Points in proportion to the weights, the lightest endpoint having at least one.
fn ring(least: u64, names: &[u64], weights: &[u64]) -> Box<[(u64, u32)]> {
    let total: u64 = weights.iter().sum::<u64>().max(1);
    let size = least.clamp(names.len() as u64, MAX_RING.max(names.len() as u64));
    let mut points = Vec::new();
    for ((index, name), weight) in (0_u32..).zip(names).zip(weights) {
        let share = (u128::from(size) * u128::from(*weight)).div_ceil(u128::from(total));
        let share = u64::try_from(share).unwrap_or(size);
        points.extend((0..share).map(|replica| (mix(name.wrapping_add(mix(replica))), index)));
    }
    points.sort_unstable();
    points.into()
}

/// The table of "Maglev: A Fast and Reliable Software Network Load Balancer", §3.4, with weights as Envoy has them.
fn maglev(size: u64, names: &[u64], weights: &[u64]) -> Box<[u32]> {
    let heaviest = weights.iter().copied().max().unwrap_or(0);
    if heaviest == 0 || size < 2 {
        return Box::default();
    }
    let mut walks: Vec<(u64, u64, u64)> =
        names.iter().map(|name| (mix(*name) % size, mix(name ^ u64::MAX) % (size - 1) + 1, 0)).collect();
    let mut table = vec![u32::MAX; usize::try_from(size).unwrap_or_default()];
    let mut left = table.len();
    for round in 1_u64.. {
        for ((index, (at, skip, taken)), weight) in (0_u32..).zip(&mut walks).zip(weights) {
            // A lighter endpoint sits rounds out, so that the entries follow the weights.
            if u128::from(*taken) * u128::from(heaviest) >= u128::from(round) * u128::from(*weight) {
                continue;
            }
            *taken += 1;
            while let Some(place) = usize::try_from(*at).ok().and_then(|it| table.get_mut(it)) {
                *at = (*at + *skip) % size;
                if *place == u32::MAX {
                    *place = index;
                    left -= 1;
                    break;
                }
            }
            if left == 0 {
                return table.into();
            }
        }
    }
    table.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::address::Address;
    use crate::upstream::endpoint::Place;

    fn endpoints(ports: std::ops::Range<u16>) -> Vec<Arc<Endpoint>> {
        ports
            .map(|port| Arc::new(Endpoint::new(Address::Inet(([10, 0, 0, 1], port).into()), 1, Place::default(), None)))
            .collect()
    }

    fn found(spread: Spread, ports: std::ops::Range<u16>, weights: &[u64]) -> Vec<String> {
        let endpoints = endpoints(ports);
        let table = HashTable::new(spread, &endpoints, weights);
        (0..10_000_u64).map(|it| endpoints[table.find(mix(it)).unwrap()].address.to_string()).collect()
    }

    #[test]
    fn few_keys_move_when_an_endpoint_joins() {
        for spread in [Spread::Ring(DEFAULT_RING), Spread::Maglev(DEFAULT_TABLE)] {
            let before = found(spread, 1..10, &[1; 9]);
            let after = found(spread, 1..11, &[1; 10]);
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            // One tenth has to move; Maglev moves a few more.
            assert!((700..1700).contains(&moved), "{spread:?}: {moved} of 10000 keys moved");
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        for spread in [Spread::Ring(10_000), Spread::Maglev(DEFAULT_TABLE)] {
            let found = found(spread, 1..4, &[1, 2, 5]);
            let share = |port: u16| found.iter().filter(|it| it.ends_with(&format!(":{port}"))).count();
            for (port, expected) in [(1, 1250_usize), (2, 2500), (3, 6250)] {
                let got = share(port);
                assert!(got.abs_diff(expected) < 350, "{spread:?}: endpoint {port} has {got}, not {expected}");
            }
        }
    }

    #[test]
    fn keys_are_the_same_in_every_version() {
        assert_eq!(key(b"user-1"), 0xf16d_8d44_0fbb_25d5);
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn no_endpoint_is_found_where_there_is_none() {
        for spread in [Spread::Ring(DEFAULT_RING), Spread::Maglev(DEFAULT_TABLE)] {
            assert_eq!(HashTable::new(spread, &[], &[]).find(7), None);
        }
    }
}
