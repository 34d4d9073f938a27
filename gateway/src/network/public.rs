//! Says which addresses nobody may be led to: those of machines' own surroundings, of private and special networks, of clouds' secrets.
//!
//! An address that carries another one inside (IPv4-mapped, NAT64, 6to4 …) is not public
//! either, whatever it carries. Documents may name networks that are reached all the same;
//! one that holds public addresses too (`0.0.0.0/0`) was not written for the others in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Network, is_mapped, is_metadata};

/// IPv4 networks that are not public (IANA's registry of special-purpose addresses), and metadata services in public ones.
const SPECIAL_V4: [(Ipv4Addr, u8); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast and everything above it.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// IPv6 networks inside the global unicast space that are not public.
const SPECIAL_V6: [(Ipv6Addr, u8); 5] = [
    // Protocol assignments: Teredo, benchmarking, ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Global unicast; everything else is local, mapped, translated, multicast or nobody's.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Whether an address is one of the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !special_v4().any(|it| it.contains(address)),
        // Not brought into IPv4 form: an address in such clothes is nobody's on the wire.
        IpAddr::V6(_) if is_mapped(address) => false,
        IpAddr::V6(_) => global_v6().contains(address) && !special_v6().any(|it| it.contains(address)),
    }
}

fn special_v4() -> impl Iterator<Item = Network> {
    SPECIAL_V4.iter().map(|(base, prefix)| Network::new(IpAddr::V4(*base), *prefix))
}

fn special_v6() -> impl Iterator<Item = Network> {
    SPECIAL_V6.iter().map(|(base, prefix)| Network::new(IpAddr::V6(*base), *prefix))
}

fn global_v6() -> Network {
    let (base, prefix) = GLOBAL_V6;
    Network::new(IpAddr::V6(base), prefix)
}

/// Whether an address may be dialled: it is public and not the gateway's own, or in a network that somebody named.
pub fn admits<'a>(
    address: IpAddr,
    named: impl IntoIterator<Item = &'a Network>,
    is_own: impl FnOnce(IpAddr) -> bool,
) -> bool {
    if is_mapped(address) {
        return false;
    }
    named.into_iter().any(|it| names(*it, address)) || (is_public(address) && !is_own(address))
}

/// Whether a network was named for an address that is not public, or that is the gateway's own.
fn names(network: Network, address: IpAddr) -> bool {
    if is_metadata(address) {
        return network.is_single() && network.contains(address);
    }
    network.contains(address) && (network.is_single() || is_special(network))
}

/// Whether no address of a network is public.
fn is_special(network: Network) -> bool {
    match network.address {
        IpAddr::V4(_) => special_v4().any(|it| network.is_within(it)),
        IpAddr::V6(_) if network.is_within(global_v6()) => special_v6().any(|it| network.is_within(it)),
        IpAddr::V6(_) => !global_v6().is_within(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn special_addresses_are_not_public_in_any_clothes() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.9",
            "100.100.100.200",
            "127.0.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.19.0.1",
            "198.51.100.7",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a9fe:a9fe",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!is_public(address(text)), "{text}");
        }
        for text in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "2001:4860::8888"] {
            assert!(is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn named_networks_are_reached_and_nothing_beside_them() {
        let named = [Network::new(address("10.1.2.0"), 24)];
        let foreign = |_| false;
        assert!(admits(address("10.1.2.3"), &named, foreign));
        assert!(!admits(address("10.1.3.3"), &named, foreign));
        assert!(!admits(address("::ffff:10.1.2.3"), &named, foreign), "not in IPv6 clothes");
    }

    #[test]
    fn a_network_names_what_it_was_written_for() {
        for (network, prefix, to, expected) in [
            ("10.0.0.0", 8, "10.1.2.3", true),
            ("224.0.0.0", 4, "232.0.0.1", true),
            ("169.254.0.0", 16, "169.254.169.254", true),
            ("fd00::", 8, "fd12::1", true),
            ("2001:db8::", 32, "2001:db8::1", true),
            ("127.0.0.1", 32, "127.0.0.1", true),
            // Public ones are in it, so it says nothing of the others.
            ("0.0.0.0", 0, "10.1.2.3", false),
            ("0.0.0.0", 0, "169.254.169.254", false),
            ("10.0.0.0", 7, "10.1.2.3", false),
            ("::", 0, "fd12::1", false),
            ("2000::", 3, "2001:db8::1", false),
            // Secrets of clouds are named one by one.
            ("100.64.0.0", 10, "100.64.0.9", true),
            ("100.64.0.0", 10, "100.100.100.200", false),
            ("100.100.100.200", 32, "100.100.100.200", true),
            ("fd00::", 8, "fd00:ec2::254", false),
        ] {
            let named = [Network::new(address(network), prefix)];
            assert_eq!(admits(address(to), &named, |_| false), expected, "{network}/{prefix} {to}");
        }
    }

    #[test]
    fn nobody_is_led_back_here() {
        let own = |it| it == address("8.8.8.8");
        let named = |text, prefix| [Network::new(address(text), prefix)];
        assert!(!admits(address("8.8.8.8"), &[], own));
        assert!(!admits(address("8.8.8.8"), &named("8.8.0.0", 16), own), "a wide network does not mean it");
        assert!(admits(address("8.8.8.8"), &named("8.8.8.8", 32), own));
        assert!(admits(address("8.8.4.4"), &[], own));
    }
}
