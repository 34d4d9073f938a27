//! Writes the header of the PROXY protocol, versions 1 and 2 (HAProxy's specification, §2).

use std::net::{IpAddr, SocketAddr};

use super::definition::ProxyHeader;

/// Begins every header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
/// TCP over IPv4, then over IPv6.
const TCP4: u8 = 0x11;
/// As above.
const TCP6: u8 = 0x21;

/// The header for a client and the address of ours that it came to.
pub fn write(version: ProxyHeader, client: SocketAddr, own: SocketAddr) -> Vec<u8> {
    let (from, to) = same_family(client.ip(), own.ip());
    match version {
        ProxyHeader::V1 => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), own.port()).into_bytes()
        }
        ProxyHeader::V2 => {
            let (family, length, addresses): (u8, u16, Vec<u8>) = match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => (TCP4, 12, [from.octets(), to.octets()].concat()),
                (from, to) => (TCP6, 36, [wide(from), wide(to)].concat()),
            };
            let mut out = SIGNATURE.to_vec();
            out.extend([PROXY, family]);
            out.extend(length.to_be_bytes());
            out.extend(addresses);
            out.extend(client.port().to_be_bytes());
            out.extend(own.port().to_be_bytes());
            out
        }
    }
}

/// Both addresses as IPv4 where they are, else both as IPv6.
fn same_family(client: IpAddr, own: IpAddr) -> (IpAddr, IpAddr) {
    let (client, own) = (client.to_canonical(), own.to_canonical());
    if client.is_ipv4() == own.is_ipv4() { (client, own) } else { (wide(client).into(), wide(own).into()) }
}

fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(it) => it.to_ipv6_mapped().octets(),
        IpAddr::V6(it) => it.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn version_1_is_a_line() {
        let line = |client, own| String::from_utf8(write(ProxyHeader::V1, at(client), at(own))).unwrap();
        assert_eq!(line("192.0.2.7:4711", "198.51.100.1:443"), "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n");
        assert_eq!(line("[2001:db8::1]:1", "[2001:db8::2]:2"), "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n");
        assert_eq!(line("[::ffff:192.0.2.7]:1", "10.0.0.1:2"), "PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n");
    }

    #[test]
    fn version_2_is_binary() {
        let header = write(ProxyHeader::V2, at("192.0.2.7:258"), at("10.0.0.1:443"));
        assert_eq!(header[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c");
        assert_eq!(header[16..], [192, 0, 2, 7, 10, 0, 0, 1, 1, 2, 1, 187]);
        assert_eq!(write(ProxyHeader::V2, at("[::1]:1"), at("[::1]:2")).len(), 16 + 36);
    }
}
