//! An IP network, as in `10.0.0.0/8`; a bare address is a network of one.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that share their first `prefix` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether the network holds this address; an IPv4-mapped address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same_prefix(own.to_bits(), other.to_bits(), self.prefix),
            (IpAddr::V6(own), IpAddr::V6(other)) => same_prefix(own.to_bits(), other.to_bits(), self.prefix),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The address that it was written with.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many first bits are shared.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is more than one address.
    pub fn is_network(&self) -> bool {
        self.prefix < bits(self.address)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Whether two numbers agree in their first bits; `u32` and `u128` share this by widening.
fn same_prefix<N: Into<u128>>(a: N, b: N, prefix: u8) -> bool {
    let width = u8::try_from(size_of::<N>() * 8).unwrap_or(128);
    let difference = a.into() ^ b.into();
    prefix == 0 || difference >> (width - prefix) == 0
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither an IP address nor a network such as 10.0.0.0/8");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address = address.parse::<IpAddr>().map_err(|_| wrong())?;
        let prefix = match prefix {
            None => bits(address),
            Some(digits) if digits.bytes().all(|it| it.is_ascii_digit()) => {
                digits.parse::<u8>().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
        };
        if prefix > bits(address) {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

impl From<Ipv6Addr> for Cidr {
    fn from(address: Ipv6Addr) -> Self {
        Self { address: IpAddr::V6(address), prefix: 128 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, address: &str, inside: bool) {
        assert_eq!(network.parse::<Cidr>().unwrap().contains(address.parse().unwrap()), inside);
    }

    #[test]
    fn networks_hold_their_addresses() {
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/8", "::ffff:10.0.0.1", true);
        check("0.0.0.0/0", "203.0.113.1", true);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("2001:db8::1", "2001:db8::2", false);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "::/129", "a.example"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
