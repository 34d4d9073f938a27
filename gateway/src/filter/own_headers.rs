//! Headers that only the gateway may set: what clients say in them is removed.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::text::listed;

/// Names of such headers.
#[derive(Debug, Default)]
pub struct OwnHeaders(Box<[HeaderName]>);

impl OwnHeaders {
    /// These.
    pub fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Whether these values of `Connection` name one; it would be removed on the way.
    pub fn is_named<'a>(&self, connection: impl IntoIterator<Item = &'a HeaderValue>) -> bool {
        listed(connection).any(|name| self.0.iter().any(|it| it.as_str().eq_ignore_ascii_case(name)))
    }

    /// Those that are there, also under names that an upstream could take for one of them.
    pub fn claimed(&self, headers: &HeaderMap) -> Vec<HeaderName> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let is_own = |it: &&HeaderName| {
            self.0.contains(it)
                || (it.as_str().contains('_') && self.0.iter().any(|own| own.as_str() == it.as_str().replace('_', "-")))
        };
        headers.keys().filter(is_own).cloned().collect()
    }
}
