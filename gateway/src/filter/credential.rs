//! What a key or a password of a client comes to: whom it names, and what it changes in the request.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

/// A client that showed a credential; policies know it as the request principal `kind/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// How it is known: `apikey` or `basic`.
    pub kind: &'static str,
    /// Its name.
    pub name: Arc<str>,
}

/// What a credential comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Who it is, if it is said.
    pub principal: Option<Principal>,
    /// Headers to be removed.
    pub remove: Vec<HeaderName>,
    /// Headers to be set.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// The target without the credential, if it stood there.
    pub target: Option<String>,
}

impl Outcome {
    /// Tells the upstream a name, where it can stand in a header.
    pub(super) fn tell(&mut self, header: Option<&HeaderName>, name: &str) {
        if let (Some(header), Ok(value)) = (header, HeaderValue::from_str(name)) {
            self.set.push((header.clone(), value));
        }
    }
}
