//! Changes the headers of a request or response as a route says: remove, then set, then add.

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::telemetry::template::{Facts, Template};

/// Changes of one level (route or destination).
#[derive(Debug, Clone, Default)]
pub struct HeaderEdits {
    /// Headers that go.
    pub remove: Box<[HeaderName]>,
    /// Headers that get a value, in order.
    pub write: Box<[Write]>,
}

/// One header that gets a value.
#[derive(Debug, Clone)]
pub struct Write {
    /// Name.
    pub name: HeaderName,
    /// Value.
    pub value: Value,
    /// Whether other values stay.
    pub mode: Mode,
}

/// Whether other values of the header stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They go.
    Set,
    /// They stay.
    Add,
}

/// A value, rendered at compile time when it can be.
#[derive(Debug, Clone)]
pub enum Value {
    /// The same for every request.
    Fixed(HeaderValue),
    /// With commands.
    Rendered(Template),
}

impl Value {
    fn render(&self, facts: &dyn Facts) -> Option<HeaderValue> {
        match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Rendered(template) => {
                let mut out = Vec::new();
                template.render(facts, b"-", &mut out);
                // A client's text may hold what no header can; then the header is left out.
                HeaderValue::from_bytes(&out).ok()
            }
        }
    }
}

/// Headers that can be changed.
pub trait Headers {
    /// Removes all values.
    fn remove(&mut self, name: &HeaderName);
    /// Replaces all values.
    fn set(&mut self, name: HeaderName, value: HeaderValue);
    /// Whether there is one of this name.
    fn has(&self, name: &HeaderName) -> bool;
    /// Appends a value.
    fn add(&mut self, name: HeaderName, value: HeaderValue);
}

/// Pingora's two kinds of head keep the spelling of names beside the map, so each changes through its own methods.
macro_rules! headers {
    ($($kind:ty),*) => {$(
        impl Headers for $kind {
            fn remove(&mut self, name: &HeaderName) {
                self.remove_header(name);
            }

            fn has(&self, name: &HeaderName) -> bool {
                self.headers.contains_key(name)
            }

            fn set(&mut self, name: HeaderName, value: HeaderValue) {
                // Fails only for names that are none, and this one is typed.
                self.insert_header(name, value).unwrap_or_default();
            }

            fn add(&mut self, name: HeaderName, value: HeaderValue) {
                // Fails only for names that are none, and for more headers than a map holds.
                self.append_header(name, value).unwrap_or_default();
            }
        }
    )*};
}

headers!(RequestHeader, ResponseHeader);

impl Headers for HeaderMap {
    fn remove(&mut self, name: &HeaderName) {
        HeaderMap::remove(self, name);
    }

    fn has(&self, name: &HeaderName) -> bool {
        self.contains_key(name)
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.append(name, value);
    }
}

impl HeaderEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.write.is_empty()
    }

    /// Changes the headers; values are rendered before any of them changes.
    pub fn apply(&self, headers: &mut impl Headers, rendered: Rendered) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (write, value) in self.write.iter().zip(rendered.0) {
            let Some(value) = value else { continue };
            match write.mode {
                Mode::Set => headers.set(write.name.clone(), value),
                Mode::Add => headers.add(write.name.clone(), value),
            }
        }
    }

    /// The headers to write with their values for one request, in order.
    pub fn values(&self, facts: &dyn Facts) -> impl Iterator<Item = (&Write, Option<HeaderValue>)> {
        self.write.iter().zip(self.render(facts).0)
    }

    /// The values of all headers to write, for one request.
    pub fn render(&self, facts: &dyn Facts) -> Rendered {
        Rendered(self.write.iter().map(|it| it.value.render(facts)).collect())
    }
}

/// Values for one application of [`HeaderEdits`].
#[derive(Debug)]
pub struct Rendered(Vec<Option<HeaderValue>>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::template::Field;

    struct Nothing;

    impl Facts for Nothing {
        fn write(&self, _: &Field, _: &mut Vec<u8>) -> bool {
            false
        }
    }

    #[test]
    fn removal_comes_first_then_values_in_order() {
        let name = |it| HeaderName::from_static(it);
        let fixed = |it| Value::Fixed(HeaderValue::from_static(it));
        let edits = HeaderEdits {
            remove: [name("gone")].into(),
            write: [
                Write { name: name("gone"), value: fixed("back"), mode: Mode::Add },
                Write { name: name("kept"), value: fixed("two"), mode: Mode::Add },
                Write { name: name("new"), value: fixed("a"), mode: Mode::Set },
                Write { name: name("new"), value: fixed("b"), mode: Mode::Set },
            ]
            .into(),
        };
        let mut headers = HeaderMap::new();
        headers.insert("gone", HeaderValue::from_static("old"));
        headers.insert("kept", HeaderValue::from_static("one"));
        let rendered = edits.render(&Nothing);
        edits.apply(&mut headers, rendered);
        let values = |it: &str| headers.get_all(it).iter().map(|it| it.to_str().unwrap()).collect::<Vec<_>>().join(" ");
        assert_eq!((values("gone"), values("kept"), values("new")), ("back".into(), "one two".into(), "b".into()));
    }
}
