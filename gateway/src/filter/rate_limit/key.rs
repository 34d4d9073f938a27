//! Makes the key of a request: parts that tell it apart, digested, so that nothing sent by a client shapes a key.

use std::borrow::Cow;
use std::net::IpAddr;

use http::HeaderName;

use crate::digest::{hex, sha256};
use crate::filter::api_key_authentication;
use crate::filter::authentication::claims::ClaimPath;
use crate::filter::authorization::subject::{Http, Subject};
use crate::network::masked;
use crate::quota::Tag;
use crate::text;

/// What requests of a rule are told apart by.
#[derive(Debug)]
pub struct Key {
    /// Begins every digest: policy and rule.
    seed: Box<[u8]>,
    /// The parts; none counts all requests together.
    pub parts: Box<[Part]>,
}

/// One part of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// The client's network, by bits of an IPv4 and an IPv6 address.
    ClientAddress(u8, u8),
    /// A header.
    Header(HeaderName, Missing),
    /// A cookie.
    Cookie(Box<str>, Missing),
    /// A query parameter.
    Query(Box<str>, Missing),
    /// A claim of the token.
    Claim(ClaimPath, Missing),
    /// The client of an API key.
    ApiKeyClient(Missing),
    /// The identity of the client certificate.
    ClientCertificate(Missing),
    /// The normalised path.
    Path,
    /// The method.
    Method,
    /// The host, in lower case.
    Host,
    /// Always this.
    Constant(Box<str>),
}

/// What stands for a part that is missing; without it the rule does not apply.
pub type Missing = Option<Box<str>>;

impl Key {
    /// A key of a rule; `policy` is namespace and name.
    pub fn new(policy: &str, rule: &str, parts: Vec<Part>) -> Self {
        let mut seed = Vec::new();
        put(&mut seed, policy.as_bytes());
        put(&mut seed, rule.as_bytes());
        Self { seed: seed.into(), parts: parts.into() }
    }

    /// The key of a request; `None` when a part is missing.
    pub fn of(&self, subject: &Subject<'_>, target: &str) -> Option<Tag> {
        let mut bytes = Vec::with_capacity(self.seed.len() + 64);
        bytes.extend_from_slice(&self.seed);
        for part in &self.parts {
            put(&mut bytes, part.value(subject, target)?.as_bytes());
        }
        Some(tag(&bytes))
    }

    /// The key of these values, as [`Self::of`] makes it of a request that has them.
    pub fn of_values<'a>(&self, values: impl Iterator<Item = &'a str>) -> Tag {
        let mut bytes = self.seed.to_vec();
        values.for_each(|it| put(&mut bytes, it.as_bytes()));
        tag(&bytes)
    }

    /// What its parts are, for people; what a client sent may be a secret, and is told as a digest.
    pub fn describe(&self, subject: &Subject<'_>, target: &str) -> Vec<String> {
        let each = |part: &Part| {
            let value = part.value(subject, target);
            let told = match (value, part.is_told_as_sent()) {
                (None, _) => "missing".to_owned(),
                (Some(value), true) => value.into_owned(),
                (Some(value), false) => format!("#{}", digest(&value)),
            };
            format!("{} {told}", part.name())
        };
        self.parts.iter().map(each).collect()
    }
}

/// The key of these texts.
pub fn digest_of(texts: &[&str]) -> Tag {
    let mut bytes = Vec::new();
    texts.iter().for_each(|it| put(&mut bytes, it.as_bytes()));
    tag(&bytes)
}

fn tag(bytes: &[u8]) -> Tag {
    let digest = sha256(bytes);
    Tag(digest.iter().take(16).fold(0, |tag, it| tag << 8 | u128::from(*it)))
}

/// Text with its length before it, so that no two lists of texts are the same bytes.
fn put(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(text);
}

/// The beginning of a value's digest.
fn digest(value: &str) -> String {
    hex(&sha256(value.as_bytes())).chars().take(12).collect()
}

impl Part {
    /// Its value in a request.
    fn value<'a>(&'a self, subject: &Subject<'a>, target: &'a str) -> Option<Cow<'a, str>> {
        let http: &Http<'a> = subject.http.as_ref()?;
        let or =
            |value: Option<Cow<'a, str>>, missing: &'a Missing| value.or_else(|| missing.as_deref().map(Cow::from));
        match self {
            Self::ClientAddress(v4, v6) => Some(network(subject.client, *v4, *v6).into()),
            Self::Header(name, missing) => or(text::joined(http.headers, name), missing),
            Self::Cookie(name, missing) => or(text::cookie(http.headers, name).map(Cow::from), missing),
            Self::Query(name, missing) => or(text::query_param(target, name).map(Cow::from), missing),
            Self::Claim(path, missing) => {
                let mut found = None;
                let mut take = |it: &str| {
                    found.get_or_insert_with(|| it.to_owned());
                    true
                };
                let is_there = http.claims.is_some_and(|it| it.any(path, &mut take));
                or(found.filter(|_| is_there).map(Cow::from), missing)
            }
            Self::ApiKeyClient(missing) => {
                let mut clients = http.credentials.iter().filter(|it| it.kind == api_key_authentication::KIND);
                or(clients.next().map(|it| Cow::from(&*it.name)), missing)
            }
            Self::ClientCertificate(missing) => or(subject.principal.map(Cow::from), missing),
            Self::Path => Some(http.path.into()),
            Self::Method => Some(http.method.into()),
            Self::Host => Some(text::host_of(http.host).into()),
            Self::Constant(text) => Some(text.as_ref().into()),
        }
    }

    /// Whether its value is no secret of a client's.
    fn is_told_as_sent(&self) -> bool {
        match self {
            Self::Header(..) | Self::Cookie(..) | Self::Query(..) | Self::Claim(..) => false,
            Self::ClientAddress(..)
            | Self::ApiKeyClient(_)
            | Self::ClientCertificate(_)
            | Self::Path
            | Self::Method
            | Self::Host
            | Self::Constant(_) => true,
        }
    }

    /// What it is, for people.
    pub fn name(&self) -> String {
        match self {
            Self::ClientAddress(..) => "client address".to_owned(),
            Self::Header(name, _) => format!("header {name}"),
            Self::Cookie(name, _) => format!("cookie {name}"),
            Self::Query(name, _) => format!("query parameter {name}"),
            Self::Claim(path, _) => format!("claim {}", path.join(".")),
            Self::ApiKeyClient(_) => "client of the API key".to_owned(),
            Self::ClientCertificate(_) => "client certificate".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Method => "method".to_owned(),
            Self::Host => "host".to_owned(),
            Self::Constant(_) => "constant".to_owned(),
        }
    }
}

/// A network as text; an IPv4-mapped address counts as IPv4.
fn network(address: IpAddr, v4: u8, v6: u8) -> String {
    let address = address.to_canonical();
    let prefix = if address.is_ipv4() { v4 } else { v6 };
    masked(address, prefix).to_string()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::*;

    fn subject<'a>(client: &str, headers: &'a HeaderMap) -> Subject<'a> {
        let client: IpAddr = client.parse().unwrap();
        Subject {
            peer: client,
            client,
            destination: client,
            port: 80,
            server_name: "",
            principal: None,
            http: Some(Http { method: "GET", host: "h:80", path: "/p", headers, claims: None, credentials: &[] }),
        }
    }

    #[test]
    fn keys_tell_apart_what_they_shall() {
        let key = Key::new("ns/p", "r", vec![Part::ClientAddress(24, 64), Part::Header(header::HOST, None)]);
        let headers = |host: &str| HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
        let of = |client: &str, host: &str| key.of(&subject(client, &headers(host)), "/p?a=1");
        assert_eq!(of("192.0.2.1", "a"), of("192.0.2.99", "a"));
        assert_eq!(of("::ffff:192.0.2.1", "a"), of("192.0.2.99", "a"));
        assert_eq!(of("2001:db8::1", "a"), of("2001:db8::ffff:1", "a"));
        assert_ne!(of("192.0.2.1", "a"), of("192.0.3.1", "a"));
        assert_ne!(of("192.0.2.1", "a"), of("192.0.2.1", "b"));
        assert_eq!(key.of(&subject("192.0.2.1", &HeaderMap::new()), "/"), None);
        let values = ["192.0.2.0", "a"].into_iter();
        assert_eq!(Some(key.of_values(values)), of("192.0.2.1", "a"));
        let other = Key::new("ns/p", "q", vec![Part::ClientAddress(24, 64), Part::Header(header::HOST, None)]);
        assert_ne!(other.of(&subject("192.0.2.1", &headers("a")), "/"), of("192.0.2.1", "a"), "rules count apart");
        let (ab, c) = (["ab", "c"], ["a", "bc"]);
        assert_ne!(key.of_values(ab.into_iter()), key.of_values(c.into_iter()));
    }

    #[test]
    fn what_clients_sent_is_told_as_digest() {
        let key = Key::new("p", "r", vec![Part::Query("a".into(), None), Part::Path, Part::Cookie("c".into(), None)]);
        let told = key.describe(&subject("192.0.2.1", &HeaderMap::new()), "/p?a=secret");
        assert_eq!(told, ["query parameter a #2bb80d537b1d", "path /p", "cookie c missing"]);
    }
}
