//! Adds secrets to requests on their way out, each for its hosts and for no others (the native kind `EgressCredential`).

use std::collections::HashMap;

use http::{HeaderName, HeaderValue};

use crate::text;

/// Headers of a host.
type Headers = Vec<(HeaderName, HeaderValue)>;

/// Headers by host.
#[derive(Debug, Default)]
pub struct EgressCredentials {
    exact: HashMap<Box<str>, Headers>,
    /// By what follows `*.`.
    wildcards: HashMap<Box<str>, Headers>,
}

impl EgressCredentials {
    /// Adds a header for a host, or for all below a wildcard; of two of one name the one that came first stays.
    pub fn add(&mut self, host: &str, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(true);
        let host = host.to_ascii_lowercase();
        let headers = match host.strip_prefix("*.") {
            Some(suffix) => self.wildcards.entry(suffix.into()).or_default(),
            None => self.exact.entry(host.into()).or_default(),
        };
        if headers.iter().all(|it| it.0 != name) {
            headers.push((name, value));
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }

    /// Headers for a host: its own, else those of the longest wildcard over it.
    pub fn of(&self, host: &str) -> &[(HeaderName, HeaderValue)] {
        let nearest = || text::above(host).find_map(|it| self.wildcards.get(it));
        self.exact.get(host).or_else(nearest).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secrets_of_one_host_add_up() {
        let mut all = EgressCredentials::default();
        for host in ["api.test", "*.api.test"] {
            for (name, value) in [("authorization", "one"), ("x-key", "two"), ("authorization", "later")] {
                all.add(host, HeaderName::from_static(name), HeaderValue::from_static(value));
            }
        }
        for host in ["api.test", "a.api.test", "b.a.api.test"] {
            let told = all.of(host).iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
            assert_eq!(told.collect::<Vec<_>>(), [("authorization", "one"), ("x-key", "two")], "{host}");
        }
    }

    #[test]
    fn a_secret_is_for_its_hosts_alone() {
        let mut all = EgressCredentials::default();
        let value = |text| HeaderValue::from_static(text);
        all.add("api.test", HeaderName::from_static("authorization"), value("one"));
        all.add("*.api.test", HeaderName::from_static("authorization"), value("two"));
        let of = |host: &str| all.of(host).first().map(|it| it.1.to_str().unwrap().to_owned());
        assert_eq!(of("api.test").as_deref(), Some("one"));
        assert_eq!(of("a.api.test").as_deref(), Some("two"));
        assert_eq!((of("evilapi.test"), of("api.test.evil")), (None, None));
        assert!(!format!("{all:?}").contains("one"), "it is not printed");
    }
}
