//! Splits what was read into resources by kind, and remembers where each came from.

mod kinds;
mod unknown;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use kinds::Layout;
pub(crate) use kinds::for_every_kind;
pub use kinds::{Documents, KINDS, Kind};

use crate::istio::rate_limit_service;
use crate::problem::{FieldPath, Problem, Problems, ResourceName, Severity, code};
use crate::read::tree::{Mapping, Tree};
use crate::read::{Origin, strict};
use crate::support;

/// What every resource carries besides its spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename = "KubernetesMetadata", rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name, unique in kind and namespace.
    pub name: String,
    /// Namespace; `default` when absent.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339 time at which the API server stored it; absent in plain files.
    pub creation_timestamp: String,
}

/// One resource with the place it was read from.
#[derive(Debug, Clone)]
pub struct Resource<T> {
    /// Name, namespace, labels.
    pub metadata: Metadata,
    /// What the operator wrote; shared with whoever remembers it for the next reading.
    pub spec: Arc<T>,
    /// Where.
    pub origin: Origin,
    /// Kind, as in the document.
    pub kind: &'static str,
}

impl<T> Resource<T> {
    /// Name for reports.
    pub fn resource_name(&self) -> ResourceName {
        ResourceName {
            kind: self.kind.to_owned(),
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone(),
        }
    }

    /// A problem of a field of this resource; `field` is a path from the document's root.
    pub fn problem(
        &self,
        code: crate::problem::Code,
        severity: Severity,
        field: impl AsRef<str>,
        message: impl Into<String>,
    ) -> Problem {
        let mut problem = Problem::new(code, severity, message).field(field.as_ref());
        problem.resource = self.resource_name();
        problem.origin = Some(self.origin);
        problem
    }

    /// Order of resources whose documents say none: oldest, then by name, then by namespace.
    pub fn age_order(&self) -> (&str, &str, &str) {
        // A missing time sorts as the API server's zero, before all others.
        (&self.metadata.creation_timestamp, &self.metadata.name, &self.metadata.namespace)
    }
}

/// A document whose head was understood.
struct Parsed<'a> {
    kind: &'static Kind,
    metadata: Metadata,
    body: Tree,
    origin: Origin,
    problems: &'a mut Problems,
}

impl Documents {
    /// Adds one document of a stream; a `List` is taken apart.
    pub(crate) fn take(&mut self, value: Tree, origin: Origin, problems: &mut Problems) {
        let Tree::Mapping(mut map) = value else {
            let mut problem = Problem::new(code::UNREADABLE, Severity::Error, "a document must be a mapping");
            problem.origin = Some(origin);
            problems.push(problem.help("it begins with apiVersion, kind and metadata"));
            return;
        };
        if text(&map, "kind") == "List"
            && let Some(Tree::Sequence(items)) = map.remove("items")
        {
            for (number, item) in items.into_iter().enumerate() {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                self.take(item, Origin { item: Some(number), ..origin }, problems);
            }
            return;
        }
        self.take_one(map, origin, problems);
    }

    fn take_one(&mut self, mut map: Mapping, origin: Origin, problems: &mut Problems) {
        if let Some(wrapped) = rate_limit_service::wrapped(&map) {
            map = wrapped;
        }
        let (api_version, name) = (text(&map, "apiVersion"), text(&map, "kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let known = KINDS.iter().find(|it| it.group == group && it.name == name);
        let Some(kind) = known.filter(|it| it.versions.contains(&version)) else {
            let metadata = map.remove("metadata").unwrap_or(Tree::Null);
            let mut problem = unknown::unknown(group, version, &name, known);
            problem.origin = Some(origin);
            problem.resource = ResourceName {
                kind: name,
                namespace: metadata.get("namespace").and_then(Tree::as_str).unwrap_or("default").to_owned(),
                name: metadata.get("name").and_then(Tree::as_str).unwrap_or_default().to_owned(),
            };
            problems.push(problem);
            return;
        };
        let mut found = Vec::new();
        let metadata = map.remove("metadata").unwrap_or(Tree::Null);
        let mut metadata: Metadata = strict::fill(metadata, "metadata", &mut |it| found.push(it)).unwrap_or_default();
        if metadata.namespace.is_empty() {
            "default".clone_into(&mut metadata.namespace);
        }
        for mut problem in found {
            problem.origin = Some(origin);
            problem.resource = ResourceName {
                kind: kind.name.to_owned(),
                namespace: metadata.namespace.clone(),
                name: metadata.name.clone(),
            };
            problems.push(problem);
        }
        let body = body(map, kind.layout);
        (kind.take)(self, Parsed { kind, metadata, body, origin, problems });
    }
}

/// The part of a document that is the kind's own.
fn body(mut map: Mapping, layout: Layout) -> Tree {
    match layout {
        Layout::Spec => map.remove("spec").unwrap_or(Tree::Null),
        Layout::Flat => {
            for head in ["apiVersion", "kind", "status"] {
                map.remove(head);
            }
            Tree::Mapping(map)
        }
    }
}

fn text(map: &Mapping, key: &str) -> String {
    map.get(key).and_then(Tree::as_str).unwrap_or_default().to_owned()
}

/// Fills one spec; says which fields are accepted and not honoured.
fn fill<T: for<'de> Deserialize<'de>>(parsed: Parsed<'_>) -> Option<Resource<T>> {
    let Parsed { kind, metadata, body, origin, problems } = parsed;
    let name =
        ResourceName { kind: kind.name.to_owned(), namespace: metadata.namespace.clone(), name: metadata.name.clone() };
    let mut report = |mut problem: Problem| {
        problem.origin = Some(origin);
        problem.resource = name.clone();
        problems.push(problem);
    };
    let prefix = match kind.layout {
        Layout::Spec => FieldPath::parse("spec"),
        Layout::Flat => FieldPath::default(),
    };
    support::warn(kind, &body, &prefix, &mut report);
    let spec = strict::fill(body, &prefix.to_string(), &mut report)?;
    Some(Resource { metadata, spec: Arc::new(spec), origin, kind: kind.name })
}
