//! One mistake of the operator: what is wrong, where, and how to mend it.
//!
//! A [`Problem`] names its place by resource and field path; line and column are found
//! only when the report is printed ([`Problems::locate`]).

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

/// Codes with a fixed meaning; `docs/problems.md` explains each.
pub mod code {
    use super::Code;

    /// A reference names something nobody declared.
    pub const REFERENCE_NOT_FOUND: Code = Code("IST0101");
    /// A value breaks a rule of its resource.
    pub const SCHEMA: Code = Code("IST0106");
    /// An annotation stands on a kind that does not know it.
    pub const MISPLACED_ANNOTATION: Code = Code("IST0107");
    /// An annotation of Istio's prefix that nobody knows.
    pub const UNKNOWN_ANNOTATION: Code = Code("IST0108");
    /// A destination needs a port, since its service has several.
    pub const PORT_REQUIRED: Code = Code("IST0112");
    /// An annotation with a value that does not parse.
    pub const INVALID_ANNOTATION: Code = Code("IST0125");
    /// A selector matches no workload.
    pub const NO_WORKLOAD: Code = Code("IST0127");
    /// Upstream TLS without a CA.
    pub const NO_SERVER_VERIFICATION: Code = Code("IST0128");
    /// Upstream TLS of one port without a CA.
    pub const NO_SERVER_VERIFICATION_PORT: Code = Code("IST0129");
    /// A rule that can never be reached.
    pub const UNREACHABLE_RULE: Code = Code("IST0130");
    /// A match that an earlier one already covers.
    pub const INEFFECTIVE_MATCH: Code = Code("IST0131");
    /// A VirtualService host that its gateway does not serve.
    pub const HOST_NOT_IN_GATEWAY: Code = Code("IST0132");
    /// A rule worth a warning inside one resource.
    pub const SCHEMA_WARNING: Code = Code("IST0133");
    /// A TCP ServiceEntry without addresses.
    pub const ADDRESSES_REQUIRED: Code = Code("IST0134");
    /// An annotation that Istio is about to drop.
    pub const DEPRECATED_ANNOTATION: Code = Code("IST0135");
    /// An annotation of a feature in its first phase.
    pub const ALPHA_ANNOTATION: Code = Code("IST0136");
    /// One certificate in several gateways.
    pub const DUPLICATE_CERTIFICATE: Code = Code("IST0138");
    /// Two gateways claim the same hosts of one port.
    pub const CONFLICTING_GATEWAYS: Code = Code("IST0145");
    /// Routing by a token's claims, and nobody checks tokens.
    pub const CLAIMS_WITHOUT_AUTHENTICATION: Code = Code("IST0149");
    /// An EnvoyFilter with a relative operation and no priority.
    pub const ENVOY_FILTER_RELATIVE: Code = Code("IST0151");
    /// REPLACE outside of filters.
    pub const ENVOY_FILTER_REPLACE: Code = Code("IST0152");
    /// ADD on routes.
    pub const ENVOY_FILTER_ADD: Code = Code("IST0153");
    /// REMOVE on routes.
    pub const ENVOY_FILTER_REMOVE: Code = Code("IST0154");
    /// A relative operation together with a proxy version.
    pub const ENVOY_FILTER_VERSION: Code = Code("IST0155");
    /// Two Telemetries select the same workload.
    pub const CONFLICTING_TELEMETRIES: Code = Code("IST0159");
    /// Several Telemetries of a namespace without selector.
    pub const SEVERAL_TELEMETRIES: Code = Code("IST0160");
    /// A gateway's credential is missing.
    pub const GATEWAY_CREDENTIAL: Code = Code("IST0161");
    /// A selector where only targetRefs work.
    pub const INEFFECTIVE_SELECTOR: Code = Code("IST0166");
    /// A policy that changes nothing.
    pub const INEFFECTIVE_POLICY: Code = Code("IST0167");
    /// A subset without endpoints.
    pub const EMPTY_SUBSET: Code = Code("IST0173");
    /// A DestinationRule for a host nobody declared.
    pub const UNKNOWN_RULE_HOST: Code = Code("IST0174");
    /// ServiceEntries that disagree on a port's protocol.
    pub const CONFLICTING_PROTOCOL: Code = Code("IST0177");

    /// A file cannot be read or is no YAML.
    pub const UNREADABLE: Code = Code("SLU0001");
    /// A file passes a bound on size, depth or nodes.
    pub const TOO_LARGE: Code = Code("SLU0002");
    /// A field that the kind does not have.
    pub const UNKNOWN_FIELD: Code = Code("SLU0003");
    /// A kind or version that a claimed group does not have.
    pub const UNKNOWN_KIND: Code = Code("SLU0004");
    /// A value of the wrong type or form.
    pub const WRONG_TYPE: Code = Code("SLU0005");
    /// A document of a group that Sluice does not read.
    pub const SKIPPED: Code = Code("SLU0006");
    /// Two documents with one kind, namespace and name.
    pub const DUPLICATE_RESOURCE: Code = Code("SLU0007");
    /// A field that is accepted and not honoured, or a policy that cannot be enforced.
    pub const NOT_HONOURED: Code = Code("SLU0010");
    /// A VirtualService that no gateway uses.
    pub const MESH_ONLY: Code = Code("SLU0020");
    /// `tls.mode` unset, which means pass-through.
    pub const TLS_MODE_UNSET: Code = Code("SLU0021");
    /// A ServiceEntry of resolution NONE as a gateway's destination.
    pub const RESOLUTION_NONE: Code = Code("SLU0022");
    /// A Gateway server that no VirtualService uses.
    pub const HOST_NEVER_SERVED: Code = Code("SLU0023");
    /// A prefix without trailing slash rewritten to `/`.
    pub const DOUBLE_SLASH: Code = Code("SLU0024");
    /// VirtualServices share a host, and their order decides.
    pub const SHARED_HOST: Code = Code("SLU0025");
}

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
    sources: Vec<Arc<Source>>,
}

/// More problems than this are counted, not kept.
const MAX_PROBLEMS: usize = 10_000;

impl Problems {
    /// An empty report about these sources.
    pub fn about(sources: Vec<Arc<Source>>) -> Self {
        Self { entries: Vec::new(), sources }
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        if self.entries.len() < MAX_PROBLEMS {
            self.entries.push(problem);
        }
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

    /// Whether anything refuses the configuration.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
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
}
