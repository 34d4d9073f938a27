//! Who the client is behind trusted proxies, and what it may not claim about itself.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use super::facts;
use crate::digest::hex_digits;
use crate::routing::request::Scheme;
use crate::text::listed;

/// Names that are set, in the form that Pingora copies least.
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const REQUEST_ID: &str = "x-request-id";
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static(FORWARDED_FOR);
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static(FORWARDED_PROTO);
const X_REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID);
/// Room for what is said of most clients.
const FORWARDED_ROOM: usize = 48;

/// Headers by which a client could pass for another, or for the gateway itself.
const CLAIMS: [HeaderName; 3] = [
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("true-client-ip"),
];

/// Prefix of the headers by which Envoys talk to each other.
const ENVOY: &str = "x-envoy-";

/// The client's address: the peer, or the entry of X-Forwarded-For that the outermost of
/// `trusted` proxies wrote, counted from the right.
pub(super) fn address(headers: &HeaderMap, peer: IpAddr, trusted: usize) -> IpAddr {
    let Some(hops) = trusted.checked_sub(1) else { return peer };
    let entries: Vec<&str> = listed(headers.get_all(&X_FORWARDED_FOR)).collect();
    let entry = entries.iter().rev().nth(hops).copied().unwrap_or_default();
    entry.parse::<IpAddr>().map_or(peer, |it| it.to_canonical())
}

/// The scheme by which the client came, as a trusted proxy says.
pub(super) fn scheme(headers: &HeaderMap, own: Scheme, trusted: usize) -> Scheme {
    let said = headers.get(&X_FORWARDED_PROTO).filter(|_| trusted > 0).map(HeaderValue::as_bytes);
    match said {
        Some(b"https") => Scheme::Https,
        Some(b"http") => Scheme::Http,
        Some(_) | None => own,
    }
}

/// Rewrites the headers that speak of the client, as Envoy does at an edge.
pub(super) fn sanitize(
    request: &mut RequestHeader,
    peer: IpAddr,
    scheme: Scheme,
    trusted: usize,
    id: impl Fn() -> HeaderValue,
) {
    if trusted == 0 {
        for name in CLAIMS {
            request.remove_header(&name);
        }
    }
    let envoy: Vec<HeaderName> = request.headers.keys().filter(|it| it.as_str().starts_with(ENVOY)).cloned().collect();
    for name in envoy {
        request.remove_header(&name);
    }
    let mut forwarded = Vec::with_capacity(FORWARDED_ROOM);
    for value in request.headers.get_all(&X_FORWARDED_FOR) {
        forwarded.extend_from_slice(value.as_bytes());
        forwarded.push(b',');
    }
    facts::ip(peer, &mut forwarded);
    let set = |request: &mut RequestHeader, name: &'static str, value: HeaderValue| {
        // Fails only for names that are none, and these are constants.
        request.insert_header(name, value).unwrap_or_default();
    };
    if let Ok(value) = HeaderValue::from_bytes(&forwarded) {
        set(request, FORWARDED_FOR, value);
    }
    set(request, FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
    if trusted == 0 || !request.headers.contains_key(&X_REQUEST_ID) {
        set(request, REQUEST_ID, id());
    }
}

/// A random UUID (RFC 9562, version 4).
pub(super) fn request_id(random: u128) -> HeaderValue {
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut out = Vec::with_capacity(36);
    for (index, byte) in bits.to_be_bytes().into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend(hex_digits(byte));
    }
    HeaderValue::try_from(out).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(forwarded: &[&'static str], trusted: usize, expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let found = address(&headers, "10.0.0.9".parse().unwrap(), trusted);
        assert_eq!(found.to_string(), expected, "{forwarded:?} with {trusted}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check(&["1.1.1.1"], 0, "10.0.0.9");
        check(&["1.1.1.1, 2.2.2.2"], 1, "2.2.2.2");
        check(&["1.1.1.1", "2.2.2.2"], 2, "1.1.1.1");
        check(&["1.1.1.1"], 2, "10.0.0.9");
        check(&["spoofed"], 1, "10.0.0.9");
        check(&[], 1, "10.0.0.9");
    }

    #[test]
    fn request_ids_are_uuids() {
        assert_eq!(request_id(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(request_id(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
