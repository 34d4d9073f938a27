//! Which of many networks is the first that holds an address: a lookup for each prefix length, not for each network.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;

use super::{Network, masked, width};

/// Values by the networks that they are for; of several that hold an address, the one that was added first counts.
#[derive(Debug)]
pub struct NetworkTable<T> {
    /// Each with its place in the order; IPv4 and IPv6 of one length beside each other.
    values: HashMap<(IpAddr, u8), (usize, T), RandomState>,
    /// Lengths there are.
    prefixes: Vec<u8>,
}

impl<T> NetworkTable<T> {
    /// What the first network that contains an address is for.
    pub fn find(&self, address: IpAddr) -> Option<&T> {
        let address = address.to_canonical();
        let found = self.prefixes.iter().filter_map(|it| self.values.get(&(masked(address, *it), *it)));
        found.min_by_key(|it| it.0).map(|it| &it.1)
    }
}

impl<T> FromIterator<(Network, T)> for NetworkTable<T> {
    fn from_iter<I: IntoIterator<Item = (Network, T)>>(entries: I) -> Self {
        let mut table = Self { values: HashMap::default(), prefixes: Vec::new() };
        for (order, (Network { address, prefix }, value)) in entries.into_iter().enumerate() {
            let prefix = prefix.min(width(address));
            table.values.entry((masked(address, prefix), prefix)).or_insert((order, value));
            table.prefixes.push(prefix);
        }
        table.prefixes.sort_unstable();
        table.prefixes.dedup();
        table
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::tests::{addresses, networks};

    proptest! {
        #[test]
        fn the_first_that_contains_it_is_found(networks in networks(), addresses in addresses()) {
            let table: NetworkTable<usize> = networks.iter().copied().zip(0..).collect();
            for address in addresses {
                let expected = networks.iter().position(|it| it.contains(address));
                prop_assert_eq!(table.find(address).copied(), expected, "{}", address);
            }
        }
    }
}
