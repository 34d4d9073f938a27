//! Accepts clients by a secret that they show (the native kind `ApiKeyAuthentication`).
//!
//! Only digests of keys are held. A key that is presented must be known to one of the
//! policies that look where it stands; a policy that is not optional asks for one. Looking
//! a digest up says nothing about other keys, so no comparison has to take constant time.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::authentication::location::{Location, Removal};
use super::credential::{Outcome, Principal};
use super::own_headers::OwnHeaders;
use crate::digest::sha256;
use crate::local_reply::credential_fault::CredentialFault;

/// How policies call clients with a key.
pub const KIND: &str = "apikey";

/// The policies that apply.
#[derive(Debug, Default)]
pub struct ApiKeyAuthentication {
    policies: Box<[Keys]>,
    /// Headers that only these policies may set.
    pub own: OwnHeaders,
}

/// The keys of one policy.
#[derive(Debug)]
pub struct Keys {
    /// Where they stand.
    pub places: Box<[Location]>,
    /// Clients by the SHA-256 of a key.
    pub clients: HashMap<[u8; 32], Arc<str>>,
    /// Whether requests without one pass.
    pub optional: bool,
    /// Whether the key goes on to the upstream.
    pub forwards: bool,
    /// Header that tells the upstream the client's name.
    pub client_header: Option<HeaderName>,
}

impl ApiKeyAuthentication {
    /// These policies, in order.
    pub fn new(policies: Vec<Keys>) -> Self {
        let own = OwnHeaders::new(policies.iter().filter_map(|it| it.client_header.clone()));
        Self { policies: policies.into(), own }
    }

    /// Whether nobody asks for keys.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Judges the keys of a request.
    pub fn judge(&self, headers: &HeaderMap, target: &str) -> Result<Outcome, CredentialFault> {
        let mut outcome = Outcome { remove: self.own.claimed(headers), ..Outcome::default() };
        let mut left = target.to_owned();
        let mut seen: Vec<&Location> = Vec::new();
        let mut satisfied = vec![false; self.policies.len()];
        for place in self.policies.iter().flat_map(|it| &it.places) {
            if seen.contains(&place) {
                continue;
            }
            seen.push(place);
            let keys = place.tokens(headers, target).map_err(|_| CredentialFault::UnknownKey)?;
            for key in keys {
                let (index, policy, client) = self.find(place, &key).ok_or(CredentialFault::UnknownKey)?;
                if let Some(it) = satisfied.get_mut(index) {
                    *it = true;
                }
                if !policy.forwards {
                    match place.without(&left) {
                        Removal::Nothing => {}
                        Removal::Header(name) => outcome.remove.push(name),
                        Removal::Target(without) => left = without,
                    }
                }
                if outcome.principal.is_none() {
                    outcome.tell(policy.client_header.as_ref(), client);
                    outcome.principal = Some(Principal { kind: KIND, name: Arc::clone(client) });
                }
            }
        }
        if self.policies.iter().zip(satisfied).any(|(policy, is_satisfied)| !policy.optional && !is_satisfied) {
            return Err(CredentialFault::MissingKey);
        }
        outcome.target = (left != target).then_some(left);
        Ok(outcome)
    }

    /// The first policy that knows a key which stands at a place.
    fn find(&self, place: &Location, key: &str) -> Option<(usize, &Keys, &Arc<str>)> {
        let digest = sha256(key.as_bytes());
        let looking = self.policies.iter().enumerate().filter(|(_, it)| it.places.contains(place));
        looking.into_iter().find_map(|(index, it)| Some((index, it, it.clients.get(&digest)?)))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn keys(place: Location, key: &str, client: &str, optional: bool) -> Keys {
        Keys {
            places: [place].into(),
            clients: [(sha256(key.as_bytes()), client.into())].into(),
            optional,
            forwards: false,
            client_header: Some(HeaderName::from_static("x-client")),
        }
    }

    #[test]
    fn a_key_that_is_shown_must_be_known_to_somebody_who_looks_there() {
        let header = || Location::Header(HeaderName::from_static("x-api-key"), "".into());
        let policy = ApiKeyAuthentication::new(vec![
            keys(header(), "k1", "ann", false),
            keys(header(), "k2", "bob", true),
            keys(Location::Param("key".into()), "k3", "cas", true),
        ]);
        let with = |key: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-api-key", HeaderValue::from_str(key).unwrap());
            headers.insert("x_client", HeaderValue::from_static("root"));
            headers
        };
        let good = policy.judge(&with("k1"), "/p?key=k3&x=1").unwrap();
        assert_eq!(&*good.principal.unwrap().name, "ann");
        assert_eq!((good.remove[0].as_str(), good.remove[1].as_str()), ("x_client", "x-api-key"));
        assert_eq!(good.target.as_deref(), Some("/p?x=1"));
        assert_eq!(policy.judge(&with("k2"), "/"), Err(CredentialFault::MissingKey), "bob's is not ann's");
        assert_eq!(policy.judge(&with("k3"), "/"), Err(CredentialFault::UnknownKey), "not at that place");
        assert_eq!(policy.judge(&with("k1"), "/?key=no"), Err(CredentialFault::UnknownKey));
        assert_eq!(policy.judge(&HeaderMap::new(), "/"), Err(CredentialFault::MissingKey));
    }
}
