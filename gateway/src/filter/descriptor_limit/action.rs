//! What makes the parts of a descriptor of a request.

use std::borrow::Cow;

use http::HeaderName;

use crate::filter::authorization::subject::Subject;
use crate::network::masked;
use crate::text::{TextPattern, joined, query_param};

/// A part of a descriptor.
#[derive(Debug)]
pub enum Action {
    /// The gateway's own name.
    SourceCluster(Box<str>),
    /// The cluster of the route.
    DestinationCluster,
    /// A header; its key, and whether a missing one leaves only the part out.
    Header(Source, Box<str>, bool),
    /// A query parameter, likewise.
    Query(Box<str>, Box<str>, bool),
    /// The client's address.
    Address,
    /// The client's network.
    Network(u8, u8),
    /// A constant: key and value.
    Constant(Box<str>, Box<str>),
    /// A constant, where headers match as is expected.
    Match {
        /// Key.
        key: Box<str>,
        /// Value.
        value: Box<str>,
        /// Whether they must match.
        expected: bool,
        /// All of these.
        tests: Box<[HeaderTest]>,
    },
    /// Something that no gateway has.
    Nothing,
}

/// Where a header's value is found.
#[derive(Debug)]
pub enum Source {
    /// A header field.
    Field(HeaderName),
    /// `:path`, with query.
    Path,
    /// `:method`.
    Method,
    /// `:authority`.
    Authority,
}

/// What a header must be.
#[derive(Debug)]
pub struct HeaderTest {
    /// Where.
    pub source: Source,
    /// What.
    pub pattern: TextPattern,
    /// Whether it must not be.
    pub inverted: bool,
}

/// A request, as descriptors see it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Who and what.
    pub subject: &'a Subject<'a>,
    /// Normalised path with query.
    pub target: &'a str,
    /// Host with port, as sent.
    pub authority: &'a str,
    /// Cluster of the route.
    pub cluster: &'a str,
}

/// One part.
pub type Part<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The descriptor of a request; `None` when an action yields nothing.
pub fn descriptor<'a>(actions: &'a [Action], asked: Asked<'a>) -> Option<Vec<Part<'a>>> {
    let mut parts = Vec::with_capacity(actions.len());
    for action in actions {
        parts.extend(action.part(asked)?);
    }
    (!parts.is_empty()).then_some(parts)
}

impl Action {
    /// Its part; `None` drops the descriptor, and an inner one leaves only the part out.
    fn part<'a>(&'a self, asked: Asked<'a>) -> Option<Option<Part<'a>>> {
        let found = |key: &'a str, value: Option<Cow<'a, str>>, skips: bool| match value {
            Some(value) => Some(Some((Cow::from(key), value))),
            None if skips => Some(None),
            None => None,
        };
        match self {
            Self::SourceCluster(name) => found("source_cluster", Some(name.as_ref().into()), false),
            Self::DestinationCluster => found("destination_cluster", Some(asked.cluster.into()), false),
            Self::Header(source, key, skips) => found(key, source.value(asked), *skips),
            Self::Query(name, key, skips) => found(key, query_param(asked.target, name).map(Cow::from), *skips),
            Self::Address => {
                found("remote_address", Some(asked.subject.client.to_canonical().to_string().into()), false)
            }
            Self::Network(v4, v6) => {
                let address = asked.subject.client.to_canonical();
                let bits = if address.is_ipv4() { *v4 } else { *v6 };
                let value = format!("{}/{bits}", masked(address, bits));
                found("masked_remote_address", Some(value.into()), false)
            }
            Self::Constant(key, value) => found(key, Some(value.as_ref().into()), false),
            Self::Match { key, value, expected, tests } => {
                let holds = tests.iter().all(|it| it.holds(asked));
                found(key, (holds == *expected).then(|| value.as_ref().into()), false)
            }
            Self::Nothing => None,
        }
    }
}

impl Source {
    fn value<'a>(&self, asked: Asked<'a>) -> Option<Cow<'a, str>> {
        let http = asked.subject.http.as_ref()?;
        match self {
            Self::Field(name) => joined(http.headers, name),
            Self::Path => Some(asked.target.into()),
            Self::Method => Some(http.method.into()),
            Self::Authority => Some(asked.authority.into()),
        }
    }
}

impl HeaderTest {
    fn holds(&self, asked: Asked<'_>) -> bool {
        self.source.value(asked).is_some_and(|it| self.pattern.matches(&it)) != self.inverted
    }
}
