//! IP networks, for whoever decides by where somebody comes from.

pub mod own;
pub mod public;
pub mod set;
pub mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of an address; a prefix beyond its width is the address alone.
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        Self { address, prefix }
    }

    /// The same in its plain form: one that is written as IPv4-mapped is an IPv4 network.
    pub fn canonical(address: IpAddr, prefix: u8) -> Self {
        match (address.to_canonical(), prefix.checked_sub(96)) {
            (plain @ IpAddr::V4(_), Some(rest)) if address.is_ipv6() => Self::new(plain, rest),
            _ => Self::new(address, prefix),
        }
    }

    /// Whether it is one address alone.
    fn is_single(&self) -> bool {
        self.prefix >= width(self.address)
    }

    /// Whether it lies in another.
    fn is_within(&self, outer: Self) -> bool {
        self.prefix >= outer.prefix && outer.contains(self.address)
    }

    /// Whether it holds an address; an IPv4-mapped one counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.prefix.min(32))
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.prefix.min(128))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Bits of an address.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Whether an address is an IPv4 one in the clothes of IPv6.
pub fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(it) if it.to_ipv4_mapped().is_some())
}

/// An address with only its first bits; a prefix beyond its width keeps all.
pub fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(it) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(it.to_bits() & mask))
        }
        IpAddr::V6(it) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() & mask))
        }
    }
}

/// Whether an address belongs to a machine's own surroundings, where no document of others is: link-local and
/// unspecified addresses, and those at which clouds tell their secrets.
pub fn is_reserved(address: IpAddr) -> bool {
    is_metadata(address)
        || match address.to_canonical() {
            IpAddr::V4(it) => it.is_link_local() || it.is_unspecified() || it.is_broadcast() || it.is_multicast(),
            IpAddr::V6(it) => it.is_unicast_link_local() || it.is_unspecified() || it.is_multicast(),
        }
}

/// Whether clouds tell their secrets at an address outside of link-local networks.
fn is_metadata(address: IpAddr) -> bool {
    /// Azure, Oracle, Alibaba.
    const METADATA: [Ipv4Addr; 3] =
        [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(100, 100, 100, 200)];
    /// AWS over IPv6.
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address.to_canonical() {
        IpAddr::V4(it) => METADATA.contains(&it),
        IpAddr::V6(it) => it == METADATA_V6,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Addresses that are often near each other.
    fn address() -> impl Strategy<Value = IpAddr> {
        let v4 = (0..4_u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d));
        let v6 = (0..4_u16, any::<u16>(), any::<u32>())
            .prop_map(|(a, b, c)| Ipv6Addr::from_bits(u128::from(a) << 112 | u128::from(b) << 64 | u128::from(c)));
        prop_oneof![
            v4.clone().prop_map(IpAddr::V4),
            v4.prop_map(|it| IpAddr::V6(it.to_ipv6_mapped())),
            v6.prop_map(IpAddr::V6)
        ]
    }

    pub(crate) fn addresses() -> impl Strategy<Value = Vec<IpAddr>> {
        prop::collection::vec(address(), 32)
    }

    pub(crate) fn networks() -> impl Strategy<Value = Vec<Network>> {
        prop::collection::vec((address(), 0..=140_u8).prop_map(|(it, prefix)| Network::new(it, prefix)), 0..24)
    }

    #[test]
    fn a_mapped_network_is_an_ipv4_one() {
        for (address, prefix, inside, outside) in [
            ("::ffff:10.0.0.0", 104, "10.255.0.1", "11.0.0.1"),
            ("::ffff:10.0.0.1", 128, "10.0.0.1", "10.0.0.2"),
            ("10.0.0.0", 8, "10.255.0.1", "11.0.0.1"),
            ("fd00::", 100, "fd00::1", "::1"),
        ] {
            let network = Network::canonical(address.parse().unwrap(), prefix);
            assert!(network.contains(inside.parse().unwrap()), "{network:?} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network:?} {outside}");
        }
    }

    #[test]
    fn surroundings_are_known() {
        for (address, expected) in [
            ("169.254.169.254", true),
            ("::ffff:169.254.169.254", true),
            ("168.63.129.16", true),
            ("fd00:ec2::254", true),
            ("fe80::1", true),
            ("0.0.0.0", true),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(is_reserved(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_network_holds_what_shares_its_first_bits() {
        for (network, prefix, address, expected) in [
            ("10.0.0.0", 8, "10.255.0.1", true),
            ("10.0.0.0", 8, "11.0.0.1", false),
            ("10.0.0.0", 8, "::ffff:10.0.0.1", true),
            ("10.0.0.1", 32, "10.0.0.2", false),
            ("0.0.0.0", 0, "192.0.2.1", true),
            ("0.0.0.0", 0, "::1", false),
            ("fd00::", 8, "fd12::1", true),
            ("::", 0, "fd12::1", true),
        ] {
            let network = Network::new(network.parse().unwrap(), prefix);
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network:?} {address}");
        }
    }
}
