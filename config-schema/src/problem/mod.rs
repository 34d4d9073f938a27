//! One mistake of the operator: what is wrong, where, and how to mend it.
//!
//! A [`Problem`] names its place by resource and field path; line and column are found
//! only when the report is printed ([`Problems::locate`]).

pub mod code;
mod render;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::read::{Origin, Source};

/// How much a problem weighs: an error refuses the configuration, the others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It loads, and probably does not do what was meant.
    Warning,
    /// Worth knowing.
    Info,
}

/// The stable name of a finding: Istio's where Istio's analyzer has one, else ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Code(pub &'static str);

/// The resource a problem speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct ResourceName {
    /// `VirtualService`, `Gateway` …; empty when the document did not say.
    pub kind: String,
    /// Namespace, `default` when the document names none.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A step from a value into one of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Into a mapping.
    Key(String),
    /// Into a sequence.
    Index(usize),
}

/// The way from a document's root to a value, as in `spec.http[0].route`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldPath(pub Vec<Segment>);

impl FieldPath {
    /// The path that `text` writes, as [`fmt::Display`] prints it.
    pub fn parse(text: &str) -> Self {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            if let Some((quoted, after)) = rest.strip_prefix("[\"").and_then(|it| it.split_once("\"]")) {
                segments.push(Segment::Key(quoted.to_owned()));
                rest = after;
            } else if let Some((index, after)) = rest.strip_prefix('[').and_then(|it| it.split_once(']')) {
                segments.push(Segment::Index(index.parse().unwrap_or(usize::MAX)));
                rest = after;
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (key, after) = rest.split_at(end);
                segments.push(Segment::Key(key.to_owned()));
                rest = after;
            }
        }
        Self(segments)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if key.is_empty() || key.contains(['.', '[', '"', '/']) => write!(f, "[\"{key}\"]")?,
                Segment::Key(key) if position == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A line and column of a file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One mistake of the operator.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What kind of mistake.
    pub code: Code,
    /// Whether it refuses the configuration.
    pub severity: Severity,
    /// What is wrong, with the offending text.
    pub message: String,
    /// How to mend it; empty when the message says it.
    pub help: String,
    /// The resource, if the document got that far.
    pub resource: ResourceName,
    /// Field inside the resource; empty for the whole.
    pub field: FieldPath,
    /// Document it was read from.
    pub origin: Option<Origin>,
    /// Where it is, once [`Problems::locate`] ran or the reader knew.
    pub position: Option<Position>,
}

impl Problem {
    /// A problem without a place yet.
    pub fn new(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: message.into(),
            help: String::new(),
            resource: ResourceName::default(),
            field: FieldPath::default(),
            origin: None,
            position: None,
        }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// Adds the field, written as a path.
    #[must_use]
    pub fn field(mut self, path: &str) -> Self {
        self.field = FieldPath::parse(path);
        self
    }
}

/// All problems of one reading, and the texts they speak of.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    entries: Vec<Problem>,
    refuses: bool,
    sources: Vec<Arc<Source>>,
}

/// Most problems that are kept. The first error is kept beside them, so that a report never hides
/// that the configuration is refused.
const MAX_PROBLEMS: usize = 10_000;

impl Problems {
    /// An empty report about these sources.
    pub fn about(sources: Vec<Arc<Source>>) -> Self {
        Self { sources, ..Self::default() }
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        let is_error = problem.severity == Severity::Error;
        if self.entries.len() < MAX_PROBLEMS || (is_error && !self.refuses) {
            self.refuses |= is_error;
            self.entries.push(problem);
        }
    }

    /// Makes a document of a file the place of all that have one.
    pub(crate) fn place(&mut self, source: u32, document: u32) {
        let origins = self.entries.iter_mut().filter_map(|it| it.origin.as_mut());
        origins.for_each(|it| *it = Origin { source, document, ..*it });
    }

    /// Whether the reader itself found one, and knows where.
    pub(crate) fn any_placed(&self) -> bool {
        self.entries.iter().any(|it| it.position.is_some())
    }

    /// Adds all of another report.
    pub fn absorb(&mut self, other: Problems) {
        for source in other.sources {
            if !self.sources.iter().any(|it| Arc::ptr_eq(it, &source)) {
                self.sources.push(source);
            }
        }
        for problem in other.entries {
            self.push(problem);
        }
    }

    /// All problems, errors first, then by place once located.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.entries.iter()
    }

    /// The same as warnings, for who can go on in spite of them.
    #[must_use]
    pub fn as_warnings(mut self) -> Self {
        for it in self.entries.iter_mut().filter(|it| it.severity == Severity::Error) {
            it.severity = Severity::Warning;
        }
        self.refuses = false;
        self
    }

    /// Whether anything refuses the configuration.
    pub fn has_errors(&self) -> bool {
        self.refuses
    }

    /// How many have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.entries.iter().filter(|it| it.severity == severity).count()
    }

    /// Finds line and column of every problem, and sorts by severity and place.
    pub fn locate(&mut self) {
        crate::read::locate::fill(&mut self.entries, &self.sources);
        self.entries.sort_by(|a, b| {
            let key = |it: &Problem| (it.severity, it.origin.as_ref().map(|o| o.source), it.position);
            key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
        });
    }

    /// The source a problem came from.
    pub fn source(&self, problem: &Problem) -> Option<&Source> {
        let origin = problem.origin.as_ref()?;
        self.sources.iter().find(|it| it.id == origin.source).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_paths_print_as_they_parse() {
        for text in ["spec.http[0].match[1].uri", "metadata.annotations[\"a.b/c\"]", "spec"] {
            assert_eq!(FieldPath::parse(text).to_string(), text);
        }
    }

    #[test]
    fn an_error_behind_any_number_of_warnings_still_refuses() {
        let mut problems = Problems::default();
        for _ in 0..=MAX_PROBLEMS {
            problems.push(Problem::new(code::SCHEMA_WARNING, Severity::Warning, "odd"));
        }
        assert!(!problems.has_errors());
        problems.push(Problem::new(code::SCHEMA, Severity::Error, "wrong"));
        problems.push(Problem::new(code::SCHEMA, Severity::Error, "wrong"));
        assert!(problems.has_errors());
        let mut all = Problems::default();
        all.absorb(problems);
        assert_eq!((all.count(Severity::Error), all.count(Severity::Warning)), (1, MAX_PROBLEMS));
    }
}
