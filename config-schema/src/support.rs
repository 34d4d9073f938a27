//! Says which fields are honoured, from the `x-support` marks of the schema itself.
//!
//! The marks of a kind are compiled once into a tree of the fields that lead to one, so a
//! document without such fields is passed over quickly. The same tree prints
//! `docs/compatibility.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::Value as Json;

use crate::document::{KINDS, Kind};
use crate::problem::{FieldPath, Problem, Segment, Severity, code};
use crate::read::tree::Tree;

/// Longest way through schemas that refer to each other.
const MAX_DEPTH: usize = 16;

/// What Sluice does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Does what it says.
    Honoured,
    /// Accepted with a warning: planned.
    Later,
    /// Accepted with a warning: only a mesh can give it a meaning.
    Mesh,
    /// Accepted with a warning: no effect in Istio either.
    Inert,
}

impl Support {
    fn of(schema: &Json) -> Self {
        match schema.get("x-support").and_then(Json::as_str) {
            Some("later") => Self::Later,
            Some("mesh") => Self::Mesh,
            Some("inert") => Self::Inert,
            Some(_) | None => Self::Honoured,
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Later => "accepted with a warning: not honoured yet",
            Self::Mesh => "accepted with a warning: means something only inside a mesh",
            Self::Inert => "accepted with a warning: has no effect in Istio either",
        }
    }
}

/// A field, what becomes of it, and the fields below.
#[derive(Debug)]
struct Field {
    support: Support,
    description: String,
    /// Below a list or map: the parts of each entry.
    entries: Option<Entries>,
    parts: BTreeMap<String, Field>,
    /// Whether there is nothing to say of it or of any field below.
    is_honoured: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entries {
    List,
    Map,
}

/// The fields of every kind, by its group and name.
static TREES: LazyLock<BTreeMap<(&'static str, &'static str), Field>> = LazyLock::new(|| {
    KINDS
        .iter()
        .map(|kind| {
            let schema = (kind.schema)().to_value();
            ((kind.group, kind.name), field(&schema, &schema, 0))
        })
        .collect()
});

fn field(schema: &Json, root: &Json, depth: usize) -> Field {
    let support = Support::of(schema);
    let description = schema.get("description").and_then(Json::as_str).unwrap_or_default().replace('\n', " ");
    let (entries, shape) = shape(schema, root);
    let mut parts = BTreeMap::new();
    if depth < MAX_DEPTH
        && let Some(properties) = shape.get("properties").and_then(Json::as_object)
    {
        parts = properties.iter().map(|(name, it)| (name.clone(), field(it, root, depth + 1))).collect();
    }
    let is_honoured = support == Support::Honoured && parts.values().all(|it| it.is_honoured);
    Field { support, description, entries, parts, is_honoured }
}

/// The object schema behind references, options, lists and maps.
fn shape<'a>(schema: &'a Json, root: &'a Json) -> (Option<Entries>, &'a Json) {
    if let Some(name) = schema.get("$ref").and_then(Json::as_str)
        && let Some(target) = name.strip_prefix('#').and_then(|it| root.pointer(it))
    {
        return shape(target, root);
    }
    let chosen = schema.get("anyOf").and_then(Json::as_array);
    if let Some(choice) = chosen.and_then(|it| it.iter().find(|it| it.get("type") != Some(&Json::from("null")))) {
        return shape(choice, root);
    }
    if let Some(items) = schema.get("items") {
        return (Some(Entries::List), shape(items, root).1);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|it| it.is_object()) {
        return (Some(Entries::Map), shape(values, root).1);
    }
    (None, schema)
}

/// Reports every field of `value` that is accepted and not honoured.
pub(crate) fn warn(kind: &Kind, value: &Tree, prefix: &FieldPath, report: &mut dyn FnMut(Problem)) {
    if let Some(tree) = TREES.get(&(kind.group, kind.name)) {
        walk(tree, value, prefix, report);
    }
}

fn walk(field: &Field, value: &Tree, path: &FieldPath, report: &mut dyn FnMut(Problem)) {
    let child = |segment| {
        let mut path = path.clone();
        path.0.push(segment);
        path
    };
    match (field.entries, value) {
        (Some(Entries::List), Tree::Sequence(entries)) => {
            for (index, entry) in entries.iter().enumerate() {
                parts(field, entry, &child(Segment::Index(index)), report);
            }
        }
        (Some(Entries::Map), Tree::Mapping(entries)) => {
            for (key, entry) in entries.iter() {
                let key = key.as_str().unwrap_or_default().to_owned();
                parts(field, entry, &child(Segment::Key(key)), report);
            }
        }
        (None, _) => parts(field, value, path, report),
        // The wrong type is reported when the value is filled.
        (Some(Entries::List | Entries::Map), _) => {}
    }
}

fn parts(field: &Field, value: &Tree, path: &FieldPath, report: &mut dyn FnMut(Problem)) {
    let Tree::Mapping(map) = value else { return };
    if field.parts.is_empty() {
        return;
    }
    for (key, value) in map.iter() {
        let Some((name, part)) = key.as_str().and_then(|it| field.parts.get_key_value(it)) else { continue };
        if part.is_honoured || is_unset(value) {
            continue;
        }
        let mut inner = path.clone();
        inner.0.push(Segment::Key(name.clone()));
        match part.support {
            Support::Honoured => walk(part, value, &inner, report),
            Support::Later | Support::Mesh | Support::Inert => {
                let message = format!("`{name}` is {}", part.support.why());
                let mut problem = Problem::new(code::NOT_HONOURED, Severity::Warning, message);
                problem.field = inner;
                report(problem.help("see docs/compatibility.md"));
            }
        }
    }
}

/// Whether a value says nothing.
fn is_unset(value: &Tree) -> bool {
    match value {
        Tree::Null => true,
        Tree::Bool(it) => !it,
        Tree::Text(it) => it.is_empty(),
        Tree::Sequence(it) => it.is_empty(),
        Tree::Mapping(it) => it.is_empty(),
        Tree::Unsigned(_) | Tree::Negative(_) | Tree::Float(_) | Tree::Tagged(_) => false,
    }
}

/// The reference of every kind and field, as Markdown.
pub fn render_markdown() -> String {
    let mut out = String::from(
        "# Compatibility\n\nWhat Sluice does with every field that it reads. A field that is not listed is refused as unknown.\n\
         This page is generated from the schema: `sluice schema --compatibility`.\n\
         \n## Protocols\n\n\
         HTTP/1.1 and HTTP/2 on both sides, gRPC with trailers in responses, gRPC-Web to gRPC upstreams, WebSocket over \
         HTTP/1.1, server-sent events, TCP. Not carried: trailers of requests, trailers of HTTP/1.1 messages, WebSocket \
         over HTTP/2, HTTP/3. Bodies up to 64 KiB are kept for copies and, unless `retryBufferBytes` says less, for retries; longer ones are sent once and not copied.\n\
         Towards HTTP/2 upstreams a request under a `perTryTimeout` has a connection of its own while it runs; \
         where `maxConnections` bounds those, it shares one, and the time also bounds the gaps inside an answer.\n",
    );
    for kind in KINDS {
        let Some(tree) = TREES.get(&(kind.group, kind.name)) else { continue };
        // Writing to a String cannot fail.
        write!(
            out,
            "\n## {}\n\n{}\n\n| field | what Sluice does | meaning |\n|---|---|---|\n",
            kind.full_name(),
            tree.description
        )
        .unwrap_or_default();
        let mut rows = Vec::new();
        list(tree, "", Support::Honoured, &mut rows);
        for (path, support, description) in rows {
            let description = description.replace('|', "\\|");
            writeln!(out, "| `{path}` | {} | {description} |", support.why()).unwrap_or_default();
        }
    }
    out
}

fn list(field: &Field, path: &str, above: Support, rows: &mut Vec<(String, Support, String)>) {
    for (name, part) in &field.parts {
        let suffix = match part.entries {
            None => "",
            Some(Entries::List) => "[]",
            Some(Entries::Map) => "{}",
        };
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{name}{suffix}");
        let support = if above == Support::Honoured { part.support } else { above };
        rows.push((path.clone(), support, part.description.clone()));
        list(part, &path, support, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_knows_fields_of_every_kind_of_support() {
        let page = render_markdown();
        for line in [
            "| `http[].match[].uri` | honoured |",
            "| `servers[].port.targetPort` | accepted with a warning: has no effect in Istio either |",
            "| `accessLogging[]` | accepted with a warning: not honoured yet |",
        ] {
            assert!(page.contains(line), "{line}");
        }
    }
}
