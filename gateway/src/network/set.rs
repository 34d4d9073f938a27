//! Whether any of many networks holds an address: sorted ranges, so that a long list costs little more than a short one.

use std::net::IpAddr;

use super::Network;

/// Networks, without regard to their order. An IPv4-mapped address counts as IPv4, as in [`Network::contains`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// Whether an address lies in one.
    pub fn hold(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(it) => within(&self.v4, it.to_bits()),
            IpAddr::V6(it) => within(&self.v6, it.to_bits()),
        }
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network.address {
                IpAddr::V4(it) => {
                    let rest = u32::MAX.checked_shr(network.prefix.into()).unwrap_or(0);
                    v4.push((it.to_bits() & !rest, it.to_bits() | rest));
                }
                IpAddr::V6(it) => {
                    let rest = u128::MAX.checked_shr(network.prefix.into()).unwrap_or(0);
                    v6.push((it.to_bits() & !rest, it.to_bits() | rest));
                }
            }
        }
        Self { v4: apart(v4), v6: apart(v6) }
    }
}

/// Sorted, each range that overlaps the one before it taken into that.
fn apart<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
    ranges.into()
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let behind = ranges.partition_point(|it| it.0 <= value);
    behind.checked_sub(1).and_then(|it| ranges.get(it)).is_some_and(|it| value <= it.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::tests::{addresses, networks};

    proptest! {
        #[test]
        fn they_hold_what_one_of_them_contains(networks in networks(), addresses in addresses()) {
            let set: Networks = networks.iter().copied().collect();
            for address in addresses {
                prop_assert_eq!(set.hold(address), networks.iter().any(|it| it.contains(address)), "{}", address);
            }
        }
    }
}
