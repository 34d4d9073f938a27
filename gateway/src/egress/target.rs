//! Brings the name of a destination into one form, or refuses it.
//!
//! Names are letters, digits, hyphens and underscores, in lower case and without the final
//! dot; internationalised ones come as A-labels. Addresses have one spelling each: four
//! decimal numbers, or an IPv6 literal in brackets without a zone. Whatever some resolver
//! would take for an address in another spelling (`127.1`, `0x7f.1`, `2130706433`) is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;
/// Longest label of it.
const MAX_LABEL: usize = 63;

/// Where a request wants to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// A host in its one form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name in lower case, without a final dot.
    Name(Box<str>),
    /// An address; an IPv4 one in IPv6 clothes stays what it is.
    Address(IpAddr),
}

/// The text is no destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTarget;

impl Target {
    /// Reads `host:port`, or `host` where there is a usual port.
    pub fn parse(authority: &str, usual_port: Option<u16>) -> Result<Self, NoTarget> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (literal, after) = rest.split_once(']').ok_or(NoTarget)?;
                let address: Ipv6Addr = literal.parse().map_err(|_| NoTarget)?;
                let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(NoTarget)?) };
                (Host::Address(IpAddr::V6(address)), port)
            }
            None => {
                let (host, port) = authority.split_once(':').map_or((authority, None), |it| (it.0, Some(it.1)));
                (name(host)?, port)
            }
        };
        let port = match port {
            None => usual_port.ok_or(NoTarget)?,
            Some(digits) => port_number(digits)?,
        };
        Ok(Self { host, port })
    }
}

/// A decimal number without leading zeros, 1 to 65535.
fn port_number(digits: &str) -> Result<u16, NoTarget> {
    let plain = !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|it| it.is_ascii_digit());
    if plain { digits.parse().map_err(|_| NoTarget) } else { Err(NoTarget) }
}

/// A name, or an IPv4 address in its canonical spelling.
fn name(text: &str) -> Result<Host, NoTarget> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        // The parser of the standard library takes only the canonical spelling.
        return Ok(Host::Address(IpAddr::V4(address)));
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |it: &str| {
        !it.is_empty()
            && it.len() <= MAX_LABEL
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
            && !it.starts_with('-')
            && !it.ends_with('-')
    };
    if text.is_empty() || text.len() > MAX_NAME || !text.split('.').all(is_label) || is_number_like(text) {
        return Err(NoTarget);
    }
    Ok(Host::Name(text.to_ascii_lowercase().into()))
}

/// Whether resolvers could take a name for an address: its last label is a number (WHATWG URL, "ends in a number").
fn is_number_like(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or(text);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_hex = hex.is_some_and(|it| it.bytes().all(|it| it.is_ascii_hexdigit()));
    is_hex || last.bytes().all(|it| it.is_ascii_digit())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(it)) => write!(f, "[{it}]"),
            Self::Address(it) => write!(f, "{it}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Option<String> {
        Target::parse(text, Some(80)).ok().map(|it| it.to_string())
    }

    #[test]
    fn each_destination_has_one_form() {
        assert_eq!(form("API.Example.com.:443").as_deref(), Some("api.example.com:443"));
        assert_eq!(form("a_b.example.com").as_deref(), Some("a_b.example.com:80"));
        assert_eq!(form("192.0.2.1:1").as_deref(), Some("192.0.2.1:1"));
        assert_eq!(form("[2001:DB8:0::1]:443").as_deref(), Some("[2001:db8::1]:443"));
        assert_eq!(Target::parse("a", None), Err(NoTarget), "CONNECT names a port");
        for known in ["API.Example.com.:443", "[2001:DB8:0::1]:443", "192.0.2.1:1"] {
            let once = form(known).unwrap();
            assert_eq!(form(&once).as_deref(), Some(once.as_str()), "the form is its own form");
        }
    }

    #[test]
    fn other_spellings_are_none() {
        for text in [
            "",
            ":443",
            ".example.com",
            "a..b",
            "...",
            "a:0",
            "a:080",
            "a:0x1bb",
            "a:443:80",
            "a:+80",
            "a: 80",
            "a:65536",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0x0.0x0.0x1",
            "0177.0.0.1",
            "127.000.000.001",
            "127.0.0.1.",
            "0",
            "169.254.43518",
            "1.2.3.4.5",
            "example.0x7f",
            "%31.0.0.1",
            "a@b",
            "a\\b",
            "a/b",
            "a#b",
            "a?b",
            "a b",
            "a\tb",
            "a\0b",
            "b\u{fc}cher.de",
            "www\u{3002}example",
            "[::1",
            "[::1]x",
            "[[::1]]",
            "[fe80::1%eth0]:1",
            "::1:443",
            "-a.b",
            "a-.b",
            "*",
            "unix:/x",
        ] {
            assert_eq!(form(text), None, "{text:?}");
        }
        assert_eq!(form(&format!("{}.example.com", "a".repeat(64))), None);
        assert_eq!(form(&vec!["abcdefgh"; 29].join(".")), None);
    }
}
