//! Decides whether a text is a `Host`: a name or address, with a port or without.

use std::net::Ipv6Addr;

/// Longest name that DNS carries, and its port.
const MAX_HOST_BYTES: usize = 255 + 6;

/// Whether `text` is `uri-host [":" port]` without userinfo, lists or blanks (RFC 9110 §7.2).
pub fn is_valid(text: &[u8]) -> bool {
    if text.is_empty() || text.len() > MAX_HOST_BYTES {
        return false;
    }
    let (name, port) = split_port(text);
    is_name(name) && port.is_none_or(is_port)
}

/// Splits the port off; brackets of an IPv6 literal stay with the name.
fn split_port(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let after_literal = text.iter().rposition(|it| *it == b']').map_or(0, |it| it + 1);
    let colon = text.iter().skip(after_literal).position(|it| *it == b':').map(|it| it + after_literal);
    match colon.and_then(|at| text.split_at_checked(at)) {
        Some((name, port)) => (name, port.get(1..)),
        None => (text, None),
    }
}

fn is_port(digits: &[u8]) -> bool {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    digits.iter().all(u8::is_ascii_digit) && text.parse::<u16>().is_ok_and(|it| it > 0)
}

fn is_name(name: &[u8]) -> bool {
    if let Some(literal) = name.strip_prefix(b"[").and_then(|it| it.strip_suffix(b"]")) {
        return std::str::from_utf8(literal).is_ok_and(|it| it.parse::<Ipv6Addr>().is_ok());
    }
    !name.is_empty() && name.iter().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_' | b'~'))
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn hosts_are_names_or_addresses_with_a_port_at_most() {
        for good in ["a", "a.example", "a.example:80", "10.0.0.1:8080", "[::1]", "[::1]:443", "a_b.example", "a."] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "", "a,b", "a b", "u@a", "a:80:80", "a:99999", "a:0x50", "a:", "a:+80", "[::1", "::1", "a/x", "a\\b",
            "[::1]x", "a\0",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }
}
