//! Adds secrets to requests on their way out, each for its hosts and for no others (the native kind `EgressCredential`).

use std::collections::HashMap;

use http::{HeaderName, HeaderValue};

/// Headers of a host.
type Headers = Vec<(HeaderName, HeaderValue)>;

/// Headers by host.
#[derive(Debug, Default)]
pub struct EgressCredentials {
    exact: HashMap<Box<str>, Headers>,
    /// By what follows the star.
    wildcards: Vec<(Box<str>, Headers)>,
}

impl EgressCredentials {
    /// Adds a header for a host, or for all below a wildcard.
    pub fn add(&mut self, host: &str, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(true);
        let host = host.to_ascii_lowercase();
        match host.strip_prefix('*') {
            Some(suffix) => self.wildcards.push((suffix.into(), vec![(name, value)])),
            None => self.exact.entry(host.into()).or_default().push((name, value)),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }

    /// Headers for a host: its own, else those of the longest wildcard over it.
    pub fn of(&self, host: &str) -> &[(HeaderName, HeaderValue)] {
        let below = |suffix: &str| host.len() > suffix.len() && host.ends_with(suffix);
        let widest = || self.wildcards.iter().filter(|it| below(&it.0)).max_by_key(|it| it.0.len()).map(|it| &it.1);
        self.exact.get(host).or_else(widest).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
