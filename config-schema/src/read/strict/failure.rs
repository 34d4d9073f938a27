//! Why a value could not be filled, and the way to it.

use std::fmt;

use serde::de;

use crate::problem::{FieldPath, Problem, Segment, Severity, code};
use crate::suggest;

/// Why a value could not be filled, and where.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    help: String,
    pub(super) path: Option<FieldPath>,
}

impl Failure {
    /// Says where, unless something deeper already did.
    pub(super) fn at(mut self, path: &Path<'_>) -> Self {
        self.path.get_or_insert_with(|| path.written_out());
        self
    }

    pub(super) fn into_problem(self, path: FieldPath) -> Problem {
        let mut problem = Problem::new(code::WRONG_TYPE, Severity::Error, self.message).help(self.help);
        problem.field = path;
        problem
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), help: String::new(), path: None }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let scalar = matches!(
            found,
            de::Unexpected::Bool(_)
                | de::Unexpected::Unsigned(_)
                | de::Unexpected::Signed(_)
                | de::Unexpected::Float(_)
        );
        let help = if scalar { "a text that looks like a number or a boolean needs quotes" } else { "" };
        Self { message: format!("expected {expected}, found {found}"), help: help.to_owned(), path: None }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self { message: format!("unknown value `{variant}`"), help: suggest::hint(variant, expected), path: None }
    }
}

/// The way to a value, linked on the stack and written out only when something is wrong.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root(&'a FieldPath),
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub(super) fn written_out(&self) -> FieldPath {
        let (mut path, segment) = match self {
            Self::Root(path) => return (*path).clone(),
            Self::Key(parent, key) => (parent.written_out(), Segment::Key((*key).to_owned())),
            Self::Index(parent, index) => (parent.written_out(), Segment::Index(*index)),
        };
        path.0.push(segment);
        path
    }
}
